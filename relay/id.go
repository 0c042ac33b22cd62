package relay

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"time"
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// JobRefLen is the length of a JobRef.
const JobRefLen = 16

// JobRef names the record of a job: the same for every job of one (account,
// idempotency key) pair. That makes the record itself the idempotency record,
// and a look-up by either name one read. 16 characters of base62 hold 95 bits
// of a SHA-256; a collision inside one account would answer
// idempotency_key_mismatch, never another account's job.
func JobRef(account, idempotencyKey string) string {
	h := sha256.New()
	h.Write([]byte("linkrelay job\x00" + account + "\x00" + idempotencyKey))
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	var ref [JobRefLen]byte
	hi, lo := binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:16])
	for i := range 8 {
		ref[i], hi = base62[hi%62], hi/62
		ref[8+i], lo = base62[lo%62], lo/62
	}
	return string(ref[:])
}

// JobID is the public id of the job that a record held when it was created at
// that millisecond. A later job under the same idempotency key (after the
// first one's retention) has the same ref and another id.
func JobID(ref string, created time.Time) string {
	id := make([]byte, 0, 32)
	id = append(append(id, "job_"...), ref...)
	digits := [11]byte{}
	i := len(digits)
	for n := uint64(created.UnixMilli()); ; n /= 62 {
		i--
		digits[i] = base62[n%62]
		if n < 62 {
			return string(append(id, digits[i:]...))
		}
	}
}

// ParseJobID returns the ref and creation time of a job id, ok false if the
// text is not one.
func ParseJobID(id string) (ref string, created time.Time, ok bool) {
	rest, ok := strings.CutPrefix(id, "job_")
	if !ok || len(rest) <= JobRefLen || len(rest) > JobRefLen+8 || strings.Trim(rest, base62) != "" {
		return "", time.Time{}, false
	}
	var ms int64 // 62^8 < 2^48
	for _, c := range []byte(rest[JobRefLen:]) {
		ms = ms*62 + int64(strings.IndexByte(base62, c))
	}
	created = time.UnixMilli(ms).UTC()
	return rest[:JobRefLen], created, JobID(rest[:JobRefLen], created) == id
}

// RandomText returns n random characters of [0-9A-Za-z] from crypto/rand:
// 5.95 bits each.
func RandomText(n int) string {
	out := make([]byte, 0, n)
	var buf [64]byte
	for len(out) < n {
		_, _ = rand.Read(buf[:]) // never fails: see crypto/rand
		for _, b := range buf {
			if b < 248 && len(out) < n { // 248 = 4*62: no bias
				out = append(out, base62[b%62])
			}
		}
	}
	return string(out)
}

// NewAccountID returns a fresh account id.
func NewAccountID() string { return "acc_" + RandomText(12) }

// NewDeviceID returns a fresh device id.
func NewDeviceID() string { return "dev_" + RandomText(12) }
