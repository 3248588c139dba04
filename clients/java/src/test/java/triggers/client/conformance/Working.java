package triggers.client.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import triggers.client.Delivery;
import triggers.client.TriggersClient;
import triggers.client.TriggersException;
import triggers.client.Worker;

/** A scenario's call of work: works until so many handlers have ended. */
final class Working {
    private final TriggersClient client;
    private final JsonObject request;
    private final List<Worker> workers = new ArrayList<>();
    private final JsonArray begun = new JsonArray();
    private long left;

    Working(TriggersClient client, JsonObject request) {
        this.client = client;
        this.request = request;
        left = number("count", 0);
    }

    JsonObject run() {
        start();
        TriggersException failure = null;
        for (Worker each : workers) {
            try {
                each.join();
            } catch (TriggersException e) {
                failure = e;
            }
        }
        if (failure != null) {
            throw failure;
        }
        JsonObject response = new JsonObject();
        response.add("deliveries", begun);
        return response;
    }

    private synchronized void start() {
        Worker.Builder builder =
                client.worker(request.get("subscription").getAsString())
                        .concurrency((int) number("concurrency", 1));
        if (request.has("lease_seconds")) {
            builder.lease(Duration.ofSeconds(number("lease_seconds", 0)));
        }
        for (long i = number("workers", 1); i > 0; i--) {
            workers.add(builder.start(this::handle));
        }
    }

    private void handle(Delivery delivery) throws Exception {
        JsonObject found = begin(delivery);
        try {
            Thread.sleep(number("handle_ms", 0));
        } catch (InterruptedException e) {
            // Its lease is lost.
        }
        end(found, delivery.isLost());
        if (request.has("fail")) {
            throw new Exception(request.get("fail").getAsString());
        }
    }

    private synchronized JsonObject begin(Delivery delivery) {
        JsonObject found = new JsonObject();
        found.addProperty("event_id", delivery.event().getEventId());
        found.addProperty("attempt", delivery.attempt());
        begun.add(found);
        return found;
    }

    private synchronized void end(JsonObject found, boolean lost) {
        found.addProperty("lost", lost);
        if (--left == 0) {
            workers.forEach(Worker::stop);
        }
    }

    private long number(String name, long absent) {
        return request.has(name) ? request.get(name).getAsLong() : absent;
    }
}
