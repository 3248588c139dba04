import java.util.Optional;
import triggers.client.Delivery;
import triggers.client.TriggersClient;
import triggers.v1.Event;

/** Works on the inbox until Ctrl-C, four events at once. */
public class Worker {
    /** Is done with an event when it returns; when it throws, the event comes again. */
    private static void handle(Delivery delivery) {
        Event event = delivery.event();
        String payload = event.getPayload().toStringUtf8();
        System.out.println(event.getEventId() + " " + event.getEventType() + " " + payload);
    }

    public static void main(String[] arguments) {
        TriggersClient.Builder builder = TriggersClient.builder();
        Optional.ofNullable(System.getenv("TRIGGERS_CORE")).ifPresent(builder::urls);
        Optional.ofNullable(System.getenv("TRIGGERS_API_KEY")).ifPresent(builder::apiKey);
        try (TriggersClient client = builder.open()) {
            var worker = client.worker("inbox").concurrency(4).start(Worker::handle);
            Runtime.getRuntime().addShutdownHook(new Thread(worker::close));
            worker.join();
        }
    }
}
