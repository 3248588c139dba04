package triggers.client;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import java.util.List;
import triggers.health.v1.HealthCheckResponse;
import triggers.v1.AckEventResponse;
import triggers.v1.AckEventResult;
import triggers.v1.BatchAckEventsResponse;
import triggers.v1.BatchCreateEventsResponse;
import triggers.v1.CreateEventResponse;
import triggers.v1.CreateEventResult;
import triggers.v1.Event;
import triggers.v1.GetEventResponse;
import triggers.v1.ListInboxResponse;

/** Reads the methods' responses and refuses those that lack what belongs to them. */
final class Answers {
    private Answers() {}

    static CreateEventResponse created(ByteString body) throws InvalidProtocolBufferException {
        CreateEventResponse response = CreateEventResponse.parseFrom(body);
        need(
                response.hasCreatedAt() && !response.getEventId().isEmpty(),
                "the event's id and time");
        return response;
    }

    static List<CreateEventResult> createdBatch(ByteString body, int count)
            throws InvalidProtocolBufferException {
        List<CreateEventResult> results =
                BatchCreateEventsResponse.parseFrom(body).getResultsList();
        boolean all = results.stream().allMatch(each -> each.hasCreated() || each.hasError());
        need(all && results.size() == count, "a result for each event");
        return results;
    }

    static Event event(ByteString body) throws InvalidProtocolBufferException {
        GetEventResponse response = GetEventResponse.parseFrom(body);
        need(response.hasEvent(), "the event");
        return response.getEvent();
    }

    static ListInboxResponse page(ByteString body) throws InvalidProtocolBufferException {
        return ListInboxResponse.parseFrom(body);
    }

    static AckEventResponse acknowledged(ByteString body) throws InvalidProtocolBufferException {
        AckEventResponse response = AckEventResponse.parseFrom(body);
        need(
                response.hasAcknowledgedAt() && !response.getEventId().isEmpty(),
                "the event's id and time");
        return response;
    }

    static List<AckEventResult> acknowledgedBatch(ByteString body, int count)
            throws InvalidProtocolBufferException {
        List<AckEventResult> results = BatchAckEventsResponse.parseFrom(body).getResultsList();
        boolean all = results.stream().allMatch(each -> each.hasAcknowledged() || each.hasError());
        need(all && results.size() == count, "a result for each id");
        return results;
    }

    static HealthCheckResponse health(ByteString body) throws InvalidProtocolBufferException {
        return HealthCheckResponse.parseFrom(body);
    }

    private static void need(boolean there, String what) throws InvalidProtocolBufferException {
        if (!there) {
            throw new InvalidProtocolBufferException("it lacks " + what);
        }
    }
}
