package triggers.client;

import java.util.Objects;
import triggers.v1.CreateEventRequest;
import triggers.v1.EventFilter;

/** Checks of what callers give that their types do not make. */
final class Arguments {
    private Arguments() {}

    /**
     * A text that UTF-8 can express: the encoder of protobuf writes a question mark for half of a
     * surrogate pair.
     */
    static String text(String name, String text) {
        Objects.requireNonNull(text, name);
        for (int i = 0; i < text.length(); i++) {
            if (!Character.isSurrogate(text.charAt(i))) {
                continue;
            }
            // Of a pair, the code point at its first half is that of both.
            if (!Character.isSupplementaryCodePoint(text.codePointAt(i))) {
                throw new IllegalArgumentException(
                        name + " has half of a surrogate pair, which UTF-8 cannot express");
            }
            i++;
        }
        return text;
    }

    static CreateEventRequest event(String name, CreateEventRequest event) {
        Objects.requireNonNull(event, name);
        text("source", event.getSource());
        text("event_type", event.getEventType());
        text("event_id", event.getEventId());
        text("idempotency_key", event.getIdempotencyKey());
        text("ordering_key", event.getOrderingKey());
        return event;
    }

    static void filter(EventFilter filter) {
        filter.getSourcesList().forEach(each -> text("a source of the filter", each));
        filter.getEventTypesList().forEach(each -> text("an event type of the filter", each));
    }
}
