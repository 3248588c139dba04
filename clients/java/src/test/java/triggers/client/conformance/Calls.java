package triggers.client.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import com.google.protobuf.ByteString;
import com.google.protobuf.Timestamp;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;
import java.util.function.Supplier;
import triggers.client.Follower;
import triggers.client.TriggersClient;
import triggers.client.TriggersException;
import triggers.health.v1.HealthCheckRequest;
import triggers.health.v1.HealthCheckResponse;
import triggers.rpc.v1.FieldViolation;
import triggers.stats.v1.GetStatsRequest;
import triggers.stats.v1.GetStatsResponse;
import triggers.v1.AckEventResponse;
import triggers.v1.AckEventResult;
import triggers.v1.CreateEventRequest;
import triggers.v1.CreateEventResponse;
import triggers.v1.CreateEventResult;
import triggers.v1.EraseEventResponse;
import triggers.v1.Event;
import triggers.v1.EventFilter;
import triggers.v1.EventKind;
import triggers.v1.EventStatus;
import triggers.v1.ListEventsRequest;
import triggers.v1.ListEventsResponse;
import triggers.v1.ListInboxRequest;
import triggers.v1.ListInboxResponse;
import triggers.v1.ListKindsRequest;
import triggers.v1.ListKindsResponse;
import triggers.v1.SortOrder;

/**
 * Makes the calls of a scenario through the public API. Calls in parallel are asynchronous, the
 * others blocking.
 */
final class Calls implements AutoCloseable {
    private final JsonObject options;
    private TriggersClient client;

    Calls(JsonObject clientOptions) {
        options = clientOptions;
    }

    @Override
    public void close() {
        if (client != null) {
            client.close();
        }
    }

    /** Gives these keys, the last one again and again. */
    private static Supplier<String> inTurn(JsonArray keys) {
        AtomicInteger given = new AtomicInteger();
        return () -> {
            int next = Math.min(given.getAndIncrement(), keys.size() - 1);
            return keys.get(next).getAsString();
        };
    }

    private static Supplier<String> reader(Path file) {
        return () -> {
            try {
                return Files.readString(file).strip();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        };
    }

    private TriggersClient open() {
        if (client == null) {
            List<String> urls = new ArrayList<>();
            options.getAsJsonArray("urls").forEach(url -> urls.add(url.getAsString()));
            TriggersClient.Builder builder =
                    TriggersClient.builder().urls(String.join(",", urls)).program("conformance/1");
            if (options.has("timeout_ms")) {
                builder.timeout(Duration.ofMillis(options.get("timeout_ms").getAsLong()));
            }
            if (options.has("ca_file")) {
                builder.caFile(Path.of(options.get("ca_file").getAsString()));
            }
            if (options.has("api_key")) {
                builder.apiKey(options.get("api_key").getAsString());
            }
            if (options.has("api_keys")) {
                builder.apiKey(inTurn(options.getAsJsonArray("api_keys")));
            }
            if (options.has("api_key_file")) {
                builder.apiKey(reader(Path.of(options.get("api_key_file").getAsString())));
            }
            client = builder.open();
        }
        return client;
    }

    /** Makes the step's call as often as it says; the outcomes. */
    List<JsonObject> make(JsonObject step, JsonObject request, JsonElement timeout) {
        TriggersClient shared = open();
        Supplier<TriggersClient> chosen =
                () ->
                        timeout.isJsonNull()
                                ? shared
                                : shared.withTimeout(Duration.ofMillis(timeout.getAsLong()));
        int times = step.has("times") ? step.get("times").getAsInt() : 1;
        String method = step.get("call").getAsString();
        List<CompletableFuture<JsonObject>> calls = new ArrayList<>();
        for (int i = 0; i < times; i++) {
            calls.add(
                    step.has("parallel")
                            ? start(chosen.get(), request)
                            : run(chosen, method, request));
        }
        return calls.stream().map(CompletableFuture::join).toList();
    }

    private static CompletableFuture<JsonObject> start(TriggersClient client, JsonObject request) {
        long started = System.nanoTime();
        return client.createAsync(event(request))
                .handle((response, error) -> outcome(() -> result(response, error), started));
    }

    private static JsonObject result(CreateEventResponse response, Throwable error) {
        if (error != null) {
            throw new CompletionException(error);
        }
        return created(response);
    }

    private static CompletableFuture<JsonObject> run(
            Supplier<TriggersClient> client, String method, JsonObject request) {
        long started = System.nanoTime();
        return CompletableFuture.completedFuture(
                outcome(() -> respond(client.get(), method, request), started));
    }

    private interface Work {
        JsonObject run();
    }

    private static JsonObject outcome(Work work, long started) {
        JsonObject outcome;
        try {
            outcome = new JsonObject();
            outcome.add("response", work.run());
            outcome.addProperty("code", "OK");
        } catch (TriggersException e) {
            outcome = error(e);
        } catch (CompletionException e) {
            outcome = error((TriggersException) e.getCause());
        } catch (IllegalArgumentException | NullPointerException e) {
            outcome = new JsonObject(); // Java's own way to say so
            outcome.addProperty("code", "INVALID_ARGUMENT");
            outcome.addProperty("message", e.getMessage());
            outcome.addProperty("retryable", false);
        }
        outcome.addProperty("elapsed_ms", (System.nanoTime() - started) / 1_000_000);
        return outcome;
    }

    private static JsonObject respond(TriggersClient client, String method, JsonObject request) {
        return switch (method) {
            case "create" -> created(client.create(event(request)));
            case "create_batch" ->
                    results(client.createBatch(events(request.get("events"))), Calls::created);
            case "get" -> event(client.get(text(request, "event_id")));
            case "list" -> page(client.list(list(request)));
            case "list_all" -> events(client.listAll(list(request)));
            case "list_events" -> log(client.listEvents(logRequest(request)));
            case "follow" ->
                    follow(client.follow(logRequest(request)), request.get("count").getAsInt());
            case "work" -> new Working(client, request).run();
            case "list_kinds" -> kinds(client.listKinds(kindsRequest(request)));
            case "ack" -> acknowledged(client.ack(text(request, "event_id")));
            case "ack_batch" ->
                    results(client.ackBatch(texts(request.get("event_ids"))), Calls::acknowledged);
            case "erase" -> erased(client.erase(text(request, "event_id")));
            case "health" -> health(client.health());
            case "check" -> health(check(client, request));
            case "stats" -> stats(client);
            default -> AnyCall.make(client, method, request);
        };
    }

    private static HealthCheckResponse check(TriggersClient client, JsonObject request) {
        return client.call(
                "triggers.health.v1.Health/Check",
                HealthCheckRequest.newBuilder().setService(text(request, "service")).build(),
                HealthCheckResponse.parser());
    }

    private static JsonObject stats(TriggersClient client) {
        GetStatsResponse response =
                client.call(
                        "triggers.stats.v1.StatsService/GetStats",
                        GetStatsRequest.getDefaultInstance(),
                        GetStatsResponse.parser());
        JsonObject object = new JsonObject();
        object.addProperty("text", response.getText());
        return object;
    }

    private static String text(JsonObject request, String name) {
        return text(request.get(name));
    }

    private static String text(JsonElement text) {
        return text.isJsonNull() ? null : text.getAsString();
    }

    private static List<String> texts(JsonElement list) {
        return list.isJsonNull()
                ? null
                : list.getAsJsonArray().asList().stream().map(Calls::text).toList();
    }

    private static List<CreateEventRequest> events(JsonElement list) {
        return list.isJsonNull()
                ? null
                : list.getAsJsonArray().asList().stream().map(Calls::event).toList();
    }

    private static CreateEventRequest event(JsonElement element) {
        if (element.isJsonNull()) {
            return null;
        }
        JsonObject request = element.getAsJsonObject();
        CreateEventRequest.Builder event =
                event(text(request, "source"), text(request, "event_type"), request.get("payload"));
        if (request.has("event_id")) {
            event.setEventId(text(request, "event_id"));
        }
        if (request.has("idempotency_key")) {
            event.setIdempotencyKey(text(request, "idempotency_key"));
        }
        if (request.has("ordering_key")) {
            event.setOrderingKey(text(request, "ordering_key"));
        }
        if (request.has("deliver_at")) {
            event.setDeliverAt(timestamp(request.get("deliver_at").getAsLong()));
        }
        if (request.has("delay_seconds")) {
            event.setDelaySeconds(request.get("delay_seconds").getAsInt());
        }
        return event.build();
    }

    private static CreateEventRequest.Builder event(
            String source, String eventType, JsonElement payload) {
        if (payload.isJsonObject()) {
            String base64 = payload.getAsJsonObject().get("$base64").getAsString();
            return CreateEventRequest.newBuilder()
                    .setSource(source)
                    .setEventType(eventType)
                    .setPayload(ByteString.copyFrom(Base64.getDecoder().decode(base64)));
        }
        return TriggersClient.event(source, eventType, text(payload)).toBuilder();
    }

    private static ListInboxRequest list(JsonObject request) {
        ListInboxRequest.Builder list = ListInboxRequest.newBuilder();
        if (request.has("status")) {
            list.setStatus(EventStatus.valueOf("EVENT_STATUS_" + text(request, "status")));
        }
        if (request.has("order")) {
            list.setOrder(SortOrder.valueOf("SORT_ORDER_" + text(request, "order")));
        }
        if (request.has("page_size")) {
            list.setPageSize(request.get("page_size").getAsInt());
        }
        if (request.has("page_token")) {
            list.setPageToken(text(request, "page_token"));
        }
        if (request.has("filter")) {
            list.setFilter(filter(request.getAsJsonObject("filter")));
        }
        return list.build();
    }

    private static EventFilter filter(JsonObject fields) {
        EventFilter.Builder filter = EventFilter.newBuilder();
        if (fields.has("sources")) {
            filter.addAllSources(texts(fields.get("sources")));
        }
        if (fields.has("event_types")) {
            filter.addAllEventTypes(texts(fields.get("event_types")));
        }
        if (fields.has("from_time")) {
            filter.setFromTime(timestamp(fields.get("from_time").getAsLong()));
        }
        if (fields.has("until_time")) {
            filter.setUntilTime(timestamp(fields.get("until_time").getAsLong()));
        }
        return filter.build();
    }

    private static Timestamp timestamp(long micros) {
        return Timestamp.newBuilder()
                .setSeconds(Math.floorDiv(micros, 1_000_000L))
                .setNanos((int) Math.floorMod(micros, 1_000_000L) * 1000)
                .build();
    }

    private static ListEventsRequest logRequest(JsonObject request) {
        ListEventsRequest.Builder log = ListEventsRequest.newBuilder();
        if (request.has("after")) {
            log.setAfterSequence(request.get("after").getAsLong());
        }
        if (request.has("page_size")) {
            log.setPageSize(request.get("page_size").getAsInt());
        }
        if (request.has("wait_ms")) {
            log.setWaitMs(request.get("wait_ms").getAsInt());
        }
        if (request.has("filter")) {
            log.setFilter(filter(request.getAsJsonObject("filter")));
        }
        return log.build();
    }

    private static ListKindsRequest kindsRequest(JsonObject request) {
        ListKindsRequest.Builder kinds = ListKindsRequest.newBuilder();
        if (request.has("page_size")) {
            kinds.setPageSize(request.get("page_size").getAsInt());
        }
        if (request.has("page_token")) {
            kinds.setPageToken(text(request, "page_token"));
        }
        return kinds.build();
    }

    private static JsonObject follow(Follower follower, int count) {
        List<Event> taken = new ArrayList<>();
        while (taken.size() < count) {
            taken.add(follower.next());
        }
        follower.stop();
        JsonObject object = events(taken);
        object.addProperty("next_after", follower.nextAfter());
        return object;
    }

    private static JsonObject log(ListEventsResponse response) {
        JsonObject object = events(response.getEventsList());
        object.addProperty("next_after", response.getNextAfter());
        object.addProperty("first_sequence", response.getFirstSequence());
        return object;
    }

    private static JsonObject kinds(ListKindsResponse response) {
        JsonArray list = new JsonArray();
        for (EventKind kind : response.getKindsList()) {
            JsonObject each = new JsonObject();
            each.addProperty("source", kind.getSource());
            each.addProperty("event_type", kind.getEventType());
            list.add(each);
        }
        JsonObject object = new JsonObject();
        object.add("kinds", list);
        object.addProperty("next_page_token", response.getNextPageToken());
        return object;
    }

    private static JsonObject created(CreateEventResponse response) {
        JsonObject object = new JsonObject();
        object.addProperty("event_id", response.getEventId());
        object.add("created_at", time(response.hasCreatedAt(), response.getCreatedAt()));
        object.addProperty("sequence", response.getSequence());
        return object;
    }

    private static JsonObject created(CreateEventResult result) {
        return result.hasError()
                ? failed(TriggersException.of(result.getError()))
                : created(result.getCreated());
    }

    private static JsonObject acknowledged(AckEventResponse response) {
        JsonObject object = new JsonObject();
        object.addProperty("event_id", response.getEventId());
        object.add(
                "acknowledged_at",
                time(response.hasAcknowledgedAt(), response.getAcknowledgedAt()));
        return object;
    }

    private static JsonObject acknowledged(AckEventResult result) {
        return result.hasError()
                ? failed(TriggersException.of(result.getError()))
                : acknowledged(result.getAcknowledged());
    }

    private static JsonObject erased(EraseEventResponse response) {
        JsonObject object = new JsonObject();
        object.addProperty("event_id", response.getEventId());
        object.addProperty("sequence", response.getSequence());
        return object;
    }

    private static <T> JsonObject results(List<T> results, Function<T, JsonObject> describe) {
        JsonArray list = new JsonArray();
        results.forEach(each -> list.add(describe.apply(each)));
        JsonObject object = new JsonObject();
        object.add("results", list);
        return object;
    }

    private static JsonObject event(Event event) {
        JsonObject object = new JsonObject();
        object.addProperty("event_id", event.getEventId());
        object.addProperty("source", event.getSource());
        object.addProperty("event_type", event.getEventType());
        object.addProperty("payload", event.getPayload().toStringUtf8());
        object.addProperty("status", event.getStatus().name().replace("EVENT_STATUS_", ""));
        object.add("created_at", time(event.hasCreatedAt(), event.getCreatedAt()));
        object.add("acknowledged_at", time(event.hasAcknowledgedAt(), event.getAcknowledgedAt()));
        object.addProperty("sequence", event.getSequence());
        object.addProperty("payload_erased", event.getPayloadErased());
        object.addProperty("ordering_key", event.getOrderingKey());
        object.add("deliver_at", time(event.hasDeliverAt(), event.getDeliverAt()));
        return object;
    }

    private static JsonObject events(Iterable<Event> events) {
        JsonArray list = new JsonArray();
        events.forEach(each -> list.add(event(each)));
        JsonObject object = new JsonObject();
        object.add("events", list);
        return object;
    }

    private static JsonObject page(ListInboxResponse response) {
        JsonObject object = events(response.getEventsList());
        object.addProperty("next_page_token", response.getNextPageToken());
        return object;
    }

    private static JsonObject health(HealthCheckResponse response) {
        JsonObject object = new JsonObject();
        object.addProperty("status", response.getStatus().name());
        object.addProperty("version", response.getVersion());
        object.addProperty("store", response.getStore());
        return object;
    }

    private static JsonElement time(boolean set, Timestamp time) {
        return set
                ? new JsonPrimitive(time.getSeconds() * 1_000_000 + time.getNanos() / 1000)
                : JsonNull.INSTANCE;
    }

    private static JsonObject failed(TriggersException error) {
        JsonObject object = new JsonObject();
        object.add("error", error(error));
        return object;
    }

    private static JsonObject error(TriggersException error) {
        JsonArray fields = new JsonArray();
        error.fieldViolations().stream().map(FieldViolation::getField).forEach(fields::add);
        JsonObject object = new JsonObject();
        object.addProperty("code", error.code().name());
        object.addProperty("reason", error.reason());
        object.addProperty("message", error.description());
        object.add("fields", fields);
        object.addProperty("retry_delay_ms", error.retryDelay().toMillis());
        object.addProperty("retryable", error.isRetryable());
        object.addProperty("first_sequence", error.firstSequence());
        return object;
    }
}
