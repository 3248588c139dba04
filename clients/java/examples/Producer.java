import java.util.Optional;
import triggers.client.TriggersClient;

/** Creates a few events and prints their ids. */
public class Producer {
    public static void main(String[] arguments) {
        TriggersClient.Builder builder = TriggersClient.builder();
        Optional.ofNullable(System.getenv("TRIGGERS_CORE")).ifPresent(builder::urls);
        Optional.ofNullable(System.getenv("TRIGGERS_API_KEY")).ifPresent(builder::apiKey);
        try (TriggersClient client = builder.open()) {
            for (int number = 1; number <= 3; number++) {
                String payload = "{\"number\": " + number + "}";
                System.out.println(client.create("shop", "order.placed", payload).getEventId());
            }
        }
    }
}
