package triggers.client;

import java.security.SecureRandom;
import java.util.UUID;

/**
 * Event ids: TypeIDs with the prefix {@code evt}, that is {@code evt_} and the 26 characters of a
 * UUIDv7 in Crockford's base 32.
 */
public final class EventId {
    private static final String PREFIX = "evt_";
    private static final String ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
    private static final int DIGITS = 26;
    private static final SecureRandom RANDOM = new SecureRandom();

    private EventId() {}

    /** Makes an id of now. */
    public static String make() {
        long random = RANDOM.nextLong();
        long high = System.currentTimeMillis() << 16 | 0x7000 | random & 0xfff;
        long low = Long.MIN_VALUE | RANDOM.nextLong() >>> 2;
        return format(new UUID(high, low));
    }

    /** Writes any UUID as an event id. */
    public static String format(UUID uuid) {
        char[] digits = new char[DIGITS];
        long high = uuid.getMostSignificantBits();
        long low = uuid.getLeastSignificantBits();
        for (int i = DIGITS - 1; i >= 0; i--) {
            digits[i] = ALPHABET.charAt((int) low & 31);
            low = low >>> 5 | high << 59;
            high >>>= 5;
        }
        return PREFIX + new String(digits);
    }

    /**
     * Reads the UUID of an event id.
     *
     * @throws IllegalArgumentException if it is none
     */
    public static UUID parse(String eventId) {
        // 26 digits hold 130 bits, of which a UUID leaves two unused: the first is at most 7.
        boolean fits = eventId.startsWith(PREFIX) && eventId.length() == PREFIX.length() + DIGITS;
        if (!fits || eventId.charAt(PREFIX.length()) > '7') {
            throw invalid(eventId);
        }
        long high = 0;
        long low = 0;
        for (int i = PREFIX.length(); i < eventId.length(); i++) {
            int digit = ALPHABET.indexOf(eventId.charAt(i));
            if (digit < 0) {
                throw invalid(eventId);
            }
            high = high << 5 | low >>> 59;
            low = low << 5 | digit;
        }
        return new UUID(high, low);
    }

    private static IllegalArgumentException invalid(String eventId) {
        return new IllegalArgumentException(
                "'"
                        + eventId
                        + "' is not an event id; accepted is evt_ and 26 characters of base 32");
    }
}
