import java.util.Optional;
import triggers.client.TriggersClient;

/** Creates a few events and prints their ids. */
public class Producer {
    public static void main(String[] arguments) {
        String urls =
                Optional.ofNullable(System.getenv("TRIGGERS_CORE"))
                        .orElse(TriggersClient.DEFAULT_URL);
        try (TriggersClient client = TriggersClient.open(urls)) {
            for (int number = 1; number <= 3; number++) {
                String payload = "{\"number\": " + number + "}";
                System.out.println(client.create("shop", "order.placed", payload).getEventId());
            }
        }
    }
}
