package triggers.client;

import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import java.util.function.Supplier;
import java.util.regex.Pattern;
import triggers.rpc.v1.Code;

/** The key that calls carry, if any. Its text is in no field, so that nothing shows it. */
final class Credentials {
    static final Credentials NONE = new Credentials(null);

    private static final Pattern KEY = Pattern.compile("[!-~]+");
    private static final String ACCEPTED = "; accepted are visible characters of ASCII";

    private final Supplier<String> key; // null: none

    private Credentials(Supplier<String> key) {
        this.key = key;
    }

    static Credentials of(String key) {
        if (!KEY.matcher(Objects.requireNonNull(key, "key")).matches()) {
            throw new IllegalArgumentException("that is no text of a key" + ACCEPTED);
        }
        return new Credentials(() -> key);
    }

    static Credentials of(Supplier<String> key) {
        return new Credentials(Objects.requireNonNull(key, "key"));
    }

    /**
     * The metadata of one call.
     *
     * @throws TriggersException if there is no key now
     */
    Map<String, String> addTo(Map<String, String> metadata) {
        if (key == null) {
            return metadata;
        }
        Map<String, String> more = new HashMap<>(metadata);
        more.put("authorization", "Bearer " + current());
        return more;
    }

    private String current() {
        String text;
        try {
            text = key.get();
        } catch (RuntimeException e) {
            TriggersException error =
                    new TriggersException(
                            Code.UNAUTHENTICATED,
                            "KEY_UNAVAILABLE",
                            "the supplier of the key threw " + e.getClass().getName());
            error.initCause(e);
            throw error;
        }
        if (text == null || !KEY.matcher(text).matches()) {
            throw new TriggersException(
                    Code.INVALID_ARGUMENT,
                    "API_KEY_INVALID",
                    "the supplier gave no text of a key" + ACCEPTED);
        }
        return text;
    }
}
