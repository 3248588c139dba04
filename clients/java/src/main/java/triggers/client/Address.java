package triggers.client;

import java.net.URI;
import java.net.URISyntaxException;
import java.util.ArrayList;
import java.util.List;

/** Addresses of cores, as users write them. */
final class Address {
    private static final String ACCEPTED = "accepted are ws://, wss:// and tcp:// URLs";

    private Address() {}

    /** Reads URLs separated by commas. */
    static List<URI> parseList(String urls) {
        List<URI> list = new ArrayList<>();
        for (String url : urls.split(",", -1)) {
            list.add(parse(url.strip()));
        }
        return list;
    }

    private static URI parse(String url) {
        URI uri;
        try {
            uri = new URI(url);
        } catch (URISyntaxException e) {
            throw invalid("an address is not a URL");
        }
        // The URL goes into messages, so it must hold no password; triggersd knows none.
        if (uri.getRawAuthority() != null && uri.getRawAuthority().contains("@")) {
            throw invalid("an address has a user name, which triggersd does not accept");
        }
        String scheme = uri.getScheme() == null ? "" : uri.getScheme();
        if (uri.getHost() == null || !List.of("ws", "wss", "tcp").contains(scheme)) {
            throw invalid("'" + url + "' is not an address of triggersd");
        }
        boolean port = uri.getPort() >= 1 && uri.getPort() <= 65535;
        if (!port && (uri.getPort() != -1 || scheme.equals("tcp"))) {
            throw invalid("the port of '" + url + "' is not accepted; it must be 1 to 65535");
        }
        return scheme.equals("tcp") ? uri : withoutLocalhost(uri);
    }

    /**
     * nng answers 404 when it listens on 127.0.0.1 and the Host header has a name, and Java lets
     * nobody set that header.
     */
    private static URI withoutLocalhost(URI uri) {
        return uri.getHost().equalsIgnoreCase("localhost")
                ? URI.create(uri.toString().replaceFirst("(?i)localhost", "127.0.0.1"))
                : uri;
    }

    private static IllegalArgumentException invalid(String what) {
        return new IllegalArgumentException(what + "; " + ACCEPTED);
    }
}
