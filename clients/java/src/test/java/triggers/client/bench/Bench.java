package triggers.client.bench;

import com.google.protobuf.ByteString;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;
import triggers.client.TriggersClient;
import triggers.v1.CreateEventRequest;

/** What tests/bench/run measures: URL IN_FLIGHT SECONDS PAYLOAD; see clients/conformance. */
public final class Bench {
    private final TriggersClient client;
    private final CreateEventRequest event;
    private final long begin;
    private final long end;

    private Bench(TriggersClient client, String payload, int seconds) {
        this.client = client;
        event =
                CreateEventRequest.newBuilder()
                        .setSource("billing")
                        .setEventType("invoice.paid")
                        .setPayload(ByteString.copyFromUtf8(payload))
                        .build();
        begin = System.nanoTime() + 1_000_000_000L;
        end = begin + seconds * 1_000_000_000L;
    }

    /** Prints how many microseconds each call took. */
    public static void main(String[] arguments) {
        try (TriggersClient client = TriggersClient.open(arguments[0])) {
            client.health();
            Bench bench = new Bench(client, arguments[3], Integer.parseInt(arguments[2]));
            List<CompletableFuture<List<Long>>> lanes =
                    Stream.generate(() -> bench.createUntilEnd(new ArrayList<>()))
                            .limit(Integer.parseInt(arguments[1]))
                            .toList();
            StringBuilder lines = new StringBuilder();
            for (CompletableFuture<List<Long>> lane : lanes) {
                lane.join().forEach(latency -> lines.append(latency / 1000).append('\n'));
            }
            System.out.print(lines);
        }
    }

    /** Creates one event after another; gives the latencies of calls within the measured time. */
    private CompletableFuture<List<Long>> createUntilEnd(List<Long> latencies) {
        long started = System.nanoTime();
        if (started - end >= 0) {
            return CompletableFuture.completedFuture(latencies);
        }
        return client.createAsync(event)
                .thenCompose(
                        created -> {
                            long done = System.nanoTime();
                            if (started - begin >= 0 && done - end <= 0) {
                                latencies.add(done - started);
                            }
                            return createUntilEnd(latencies);
                        });
    }
}
