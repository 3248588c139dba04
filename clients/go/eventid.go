package triggers

import (
	"crypto/rand"
	"encoding/binary"
	"strings"
	"time"

	"triggers.internal/triggers/rpcpb"
)

// Event ids are TypeIDs (version 0.3 of that specification): a prefix and a UUID in Crockford's base32.
const (
	idPrefix   = "evt_"
	idAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"
	idDigits   = 26
)

// NewEventID makes an event id: "evt_" and a UUIDv7 of now. Creates without an id get one by
// themselves; make it yourself to use the same one across runs of your program.
func NewEventID() string {
	var uuid [16]byte
	// crypto/rand fails only where a program cannot go on, and since Go 1.24 ends it then.
	if _, err := rand.Read(uuid[:]); err != nil {
		panic("triggers: no randomness: " + err.Error())
	}
	// RFC 9562: 48 bits of milliseconds, the version, 12 random bits, the variant, 62 random bits.
	milliseconds := uint64(time.Now().UnixMilli())
	binary.BigEndian.PutUint64(uuid[:8], milliseconds<<16|0x7000|uint64(uuid[6]&0x0f)<<8|uint64(uuid[7]))
	uuid[8] = 0x80 | uuid[8]&0x3f
	return FormatEventID(uuid)
}

// FormatEventID writes a UUID as an event id.
func FormatEventID(uuid [16]byte) string {
	high, low := binary.BigEndian.Uint64(uuid[:8]), binary.BigEndian.Uint64(uuid[8:])
	var digits [idDigits]byte
	for i := idDigits - 1; i >= 0; i-- {
		digits[i] = idAlphabet[low&31]
		low = low>>5 | high<<59
		high >>= 5
	}
	return idPrefix + string(digits[:])
}

// ParseEventID reads the UUID of an event id. What is none is an [*Error] with the reason
// EVENT_ID_INVALID.
func ParseEventID(id string) (uuid [16]byte, err error) {
	digits, found := strings.CutPrefix(id, idPrefix)
	// 26 digits are 130 bits; the first digit has the upper 3 of 128.
	if !found || len(digits) != idDigits || digits[0] > '7' {
		return uuid, invalidID(id)
	}
	var high, low uint64
	for i := range len(digits) {
		value := strings.IndexByte(idAlphabet, digits[i])
		if value < 0 {
			return uuid, invalidID(id)
		}
		high = high<<5 | low>>59
		low = low<<5 | uint64(value)
	}
	binary.BigEndian.PutUint64(uuid[:8], high)
	binary.BigEndian.PutUint64(uuid[8:], low)
	return uuid, nil
}

func invalidID(id string) error {
	return failure(rpcpb.Code_INVALID_ARGUMENT, "EVENT_ID_INVALID",
		`%q is not an event id; accepted is "evt_" and 26 characters of 0-9 and a-z without i, l, o and u, of which the first is at most 7`, id)
}
