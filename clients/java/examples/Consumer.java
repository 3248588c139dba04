import java.util.Optional;
import triggers.client.TriggersClient;
import triggers.v1.Event;
import triggers.v1.ListInboxRequest;
import triggers.v1.SortOrder;

/** Takes every pending event, oldest first, and acknowledges it. */
public class Consumer {
    public static void main(String[] arguments) {
        TriggersClient.Builder builder = TriggersClient.builder();
        Optional.ofNullable(System.getenv("TRIGGERS_CORE")).ifPresent(builder::urls);
        Optional.ofNullable(System.getenv("TRIGGERS_API_KEY")).ifPresent(builder::apiKey);
        ListInboxRequest oldestFirst =
                ListInboxRequest.newBuilder().setOrder(SortOrder.SORT_ORDER_OLDEST_FIRST).build();
        try (TriggersClient client = builder.open()) {
            for (Event event : client.listAll(oldestFirst)) {
                String payload = event.getPayload().toStringUtf8();
                System.out.println(event.getEventId() + " " + event.getEventType() + " " + payload);
                client.ack(event.getEventId());
            }
        }
    }
}
