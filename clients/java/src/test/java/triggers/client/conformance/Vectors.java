package triggers.client.conformance;

import static triggers.client.conformance.Runner.check;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.Parser;
import java.util.Base64;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.function.Function;
import triggers.client.EventId;
import triggers.rpc.v1.ErrorDetails;
import triggers.rpc.v1.FieldViolation;
import triggers.rpc.v1.Request;
import triggers.rpc.v1.Response;

/** The byte vectors of the envelope and of event ids. */
final class Vectors {
    private static final int IDS = 1000;
    private static final long CLOCK_TOLERANCE_MS = 60_000;

    private Vectors() {}

    static void checkEnvelope(JsonObject vectors) throws InvalidProtocolBufferException {
        for (JsonElement each : vectors.getAsJsonArray("requests")) {
            checkMessage(each.getAsJsonObject(), Request.parser(), Vectors::request);
        }
        for (JsonElement each : vectors.getAsJsonArray("responses")) {
            checkMessage(each.getAsJsonObject(), Response.parser(), Vectors::response);
        }
        for (JsonElement each : vectors.getAsJsonArray("malformed")) {
            byte[] bytes = bytes(each.getAsJsonObject(), "bytes");
            check(!parses(bytes, Request.parser()), "parses as a request: " + each);
            check(!parses(bytes, Response.parser()), "parses as a response: " + each);
        }
    }

    private static <T extends Message> void checkMessage(
            JsonObject vector, Parser<T> parser, Function<JsonObject, T> build)
            throws InvalidProtocolBufferException {
        byte[] bytes = bytes(vector, "bytes");
        T fields = build.apply(vector);
        boolean foreign = vector.has("foreign") && vector.get("foreign").getAsBoolean();
        // Fields of later versions are kept beside those that are known.
        T parsed = parser.parseFrom(bytes);
        Message known = parsed.toBuilder().setUnknownFields(fields.getUnknownFields()).build();
        check(known.equals(fields), "parses to " + parsed + " instead of " + vector);
        if (!foreign) {
            byte[] encoded = fields.toByteArray();
            check(encoded.length == bytes.length, "encodes to another size: " + vector);
            check(parser.parseFrom(encoded).equals(fields), "changes: " + vector);
        }
    }

    private static boolean parses(byte[] bytes, Parser<?> parser) {
        try {
            parser.parseFrom(bytes);
            return true;
        } catch (InvalidProtocolBufferException e) {
            return false;
        }
    }

    private static Request request(JsonObject fields) {
        return Request.newBuilder()
                .setMethod(fields.get("method").getAsString())
                .setTimeoutMs(fields.get("timeout_ms").getAsNumber().intValue())
                .putAllMetadata(texts(fields.getAsJsonObject("metadata")))
                .setBody(ByteString.copyFrom(bytes(fields, "body")))
                .build();
    }

    private static Response response(JsonObject fields) {
        Response.Builder response =
                Response.newBuilder()
                        .setCodeValue(fields.get("code").getAsInt())
                        .setMessage(fields.get("message").getAsString())
                        .putAllMetadata(texts(fields.getAsJsonObject("metadata")))
                        .setBody(ByteString.copyFrom(bytes(fields, "body")));
        if (!fields.get("details").isJsonNull()) {
            response.setDetails(details(fields.getAsJsonObject("details")));
        }
        return response.build();
    }

    private static ErrorDetails details(JsonObject fields) {
        ErrorDetails.Builder details =
                ErrorDetails.newBuilder()
                        .setReason(fields.get("reason").getAsString())
                        .setRetryDelayMs(fields.get("retry_delay_ms").getAsNumber().intValue());
        JsonArray violations = fields.getAsJsonArray("field_violations");
        for (JsonElement each : violations) {
            JsonObject violation = each.getAsJsonObject();
            details.addFieldViolations(
                    FieldViolation.newBuilder()
                            .setField(violation.get("field").getAsString())
                            .setDescription(violation.get("description").getAsString()));
        }
        return details.build();
    }

    private static Map<String, String> texts(JsonObject object) {
        Map<String, String> texts = new HashMap<>();
        object.entrySet().forEach(each -> texts.put(each.getKey(), each.getValue().getAsString()));
        return texts;
    }

    private static byte[] bytes(JsonObject object, String name) {
        return Base64.getDecoder().decode(object.get(name).getAsString());
    }

    static void checkTypeId(JsonObject vectors) {
        for (JsonElement each : vectors.getAsJsonArray("valid")) {
            String eventId = each.getAsJsonObject().get("event_id").getAsString();
            UUID uuid = UUID.fromString(each.getAsJsonObject().get("uuid").getAsString());
            check(EventId.parse(eventId).equals(uuid), "parses to another UUID: " + each);
            check(EventId.format(uuid).equals(eventId), "formats to another id: " + each);
        }
        for (JsonElement each : vectors.getAsJsonArray("invalid")) {
            check(refuses(each.getAsJsonObject().get("event_id").getAsString()), "parses: " + each);
        }
        checkMadeIds();
    }

    private static boolean refuses(String eventId) {
        try {
            EventId.parse(eventId);
            return false;
        } catch (IllegalArgumentException e) {
            return true;
        }
    }

    private static void checkMadeIds() {
        Set<String> made = new HashSet<>();
        for (int i = 0; i < IDS; i++) {
            String eventId = EventId.make();
            UUID uuid = EventId.parse(eventId);
            check(uuid.version() == 7 && uuid.variant() == 2, "no UUIDv7: " + uuid);
            long age = System.currentTimeMillis() - (uuid.getMostSignificantBits() >>> 16);
            check(Math.abs(age) < CLOCK_TOLERANCE_MS, "not of now: " + uuid);
            made.add(eventId);
        }
        check(made.size() == IDS, "an id was made twice");
    }
}
