package triggers.client;

import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.function.Function;
import triggers.v1.Event;
import triggers.v1.ListInboxRequest;
import triggers.v1.ListInboxResponse;

/** Walks through a list and fetches its pages as they are needed. */
final class EventPages implements Iterator<Event> {
    private final Function<ListInboxRequest, ListInboxResponse> fetch;
    private ListInboxRequest next;
    private Iterator<Event> page;

    EventPages(ListInboxRequest first, Function<ListInboxRequest, ListInboxResponse> fetchPage) {
        next = first;
        fetch = fetchPage;
    }

    @Override
    public boolean hasNext() {
        while ((page == null || !page.hasNext()) && next != null) {
            ListInboxResponse response = fetch.apply(next);
            page = response.getEventsList().iterator();
            String token = response.getNextPageToken();
            next = token.isEmpty() ? null : next.toBuilder().setPageToken(token).build();
        }
        return page != null && page.hasNext();
    }

    @Override
    public Event next() {
        if (!hasNext()) {
            throw new NoSuchElementException();
        }
        return page.next();
    }
}
