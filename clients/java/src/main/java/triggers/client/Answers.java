package triggers.client;

import com.google.protobuf.InvalidProtocolBufferException;
import java.util.List;
import triggers.v1.AckEventResponse;
import triggers.v1.AckEventResult;
import triggers.v1.BatchAckEventsResponse;
import triggers.v1.BatchCreateEventsResponse;
import triggers.v1.CreateEventResponse;
import triggers.v1.CreateEventResult;
import triggers.v1.EraseEventResponse;
import triggers.v1.Event;
import triggers.v1.GetEventResponse;

/** Takes what is wanted of the methods' responses; refuses those that lack what belongs to them. */
final class Answers {
    private Answers() {}

    static CreateEventResponse created(CreateEventResponse response)
            throws InvalidProtocolBufferException {
        need(
                response.hasCreatedAt() && !response.getEventId().isEmpty(),
                "the event's id and time");
        return response;
    }

    static List<CreateEventResult> createdBatch(BatchCreateEventsResponse response, int count)
            throws InvalidProtocolBufferException {
        List<CreateEventResult> results = response.getResultsList();
        boolean all = results.stream().allMatch(each -> each.hasCreated() || each.hasError());
        need(all && results.size() == count, "a result for each event");
        return results;
    }

    static Event event(GetEventResponse response) throws InvalidProtocolBufferException {
        need(response.hasEvent(), "the event");
        return response.getEvent();
    }

    static AckEventResponse acknowledged(AckEventResponse response)
            throws InvalidProtocolBufferException {
        need(
                response.hasAcknowledgedAt() && !response.getEventId().isEmpty(),
                "the event's id and time");
        return response;
    }

    static List<AckEventResult> acknowledgedBatch(BatchAckEventsResponse response, int count)
            throws InvalidProtocolBufferException {
        List<AckEventResult> results = response.getResultsList();
        boolean all = results.stream().allMatch(each -> each.hasAcknowledged() || each.hasError());
        need(all && results.size() == count, "a result for each id");
        return results;
    }

    static EraseEventResponse erased(EraseEventResponse response)
            throws InvalidProtocolBufferException {
        need(!response.getEventId().isEmpty(), "the event's id");
        return response;
    }

    private static void need(boolean there, String what) throws InvalidProtocolBufferException {
        if (!there) {
            throw new InvalidProtocolBufferException("it lacks " + what);
        }
    }
}
