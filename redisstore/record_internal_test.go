package redisstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"linkrelay/relay"
)

const (
	goodHead = "q 1790000000000 3600000 0 0 0 0 - - 0"
	goodBody = "key\nhttps://t.example/\nsrc\nrow\n{\"a\":1}\n"
)

// encode writes a record as jobs.lua describes it.
func (r record) encode() string {
	letter := ""
	for l, s := range states {
		if s == r.state {
			letter = l
		}
	}
	head := fmt.Sprintf("%s %d %d %d %d %s %d - - 0", letter, r.created, r.lifetime, r.attempts, r.deliveries, r.entry, r.moment)
	return head + "\n" + strings.Join([]string{r.key, r.url, r.source, r.rowID, r.context, r.tail}, "\n")
}

func TestParseRecord(t *testing.T) {
	got, err := parseRecord(goodHead + "\n" + goodBody + "tail\nof two lines")
	if err != nil {
		t.Fatal(err)
	}
	want := record{state: relay.Queued, created: 1790000000000, lifetime: 3600000, entry: "1790000000000-0", key: "key", url: "https://t.example/",
		source: "src", rowID: "row", context: `{"a":1}`, tail: "tail\nof two lines"}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(record{})); diff != "" {
		t.Error(diff)
	}
}

func TestDamagedRecordsAreErrors(t *testing.T) {
	full := goodHead + "\n" + goodBody
	for _, bad := range []string{
		"", "\n", "q", " " + full, "z" + full[1:], "Q" + full[1:], "\n" + full,
		strings.Replace(full, " 0 - - 0", " 0 - -", 1),
		strings.Replace(full, " 0 - - 0", " 0 - - 0 0", 1),
		strings.Replace(full, "1790000000000 ", "179000000000x ", 1),
		strings.Replace(full, "3600000", "99999999999999999999", 1),
		strings.Replace(full, "3600000", "3.6e6", 1),
		goodHead, goodHead + "\nkey", goodHead + "\nkey\nurl\nsrc\nrow\n",
	} {
		if r, err := parseRecord(bad); !errors.Is(err, errReply) {
			t.Errorf("%q was read as %+v, %v", bad, r, err)
		}
	}
}

// A job is expired from its last millisecond on, whoever has settled it.
func TestRecordAsAJob(t *testing.T) {
	r := record{state: relay.Queued, created: 1000, lifetime: 4000, moment: 3000, attempts: 1, key: "k", tail: "why"}
	notBefore, finished := at(3000), at(5000)
	base := relay.Job{ID: relay.JobID("ref", at(1000)), State: relay.Queued, IdempotencyKey: "k", CreatedAt: at(1000), ExpiresAt: at(5000), Attempts: 1, Error: "why"}
	for now, want := range map[int64]func(j *relay.Job){
		2999: func(j *relay.Job) { j.NotBefore = &notBefore },
		3000: func(*relay.Job) {},
		4999: func(*relay.Job) {},
		5000: func(j *relay.Job) { j.State, j.FinishedAt = relay.Expired, &finished },
		9000: func(j *relay.Job) { j.State, j.FinishedAt = relay.Expired, &finished },
	} {
		expect := base
		want(&expect)
		if diff := cmp.Diff(expect, r.job("ref", now)); diff != "" {
			t.Errorf("at %d: %s", now, diff)
		}
	}
	r.state, r.tail = relay.Succeeded, `{"x":1}`
	if j := r.job("ref", 9000); j.State != relay.Succeeded || string(j.Result) != `{"x":1}` || j.Error != "" || !j.FinishedAt.Equal(at(3000)) {
		t.Errorf("a final job stays as it is: %+v", j)
	}
}

// parseRecord reads or refuses any text; what it reads survives a round trip
// and can be shown.
func FuzzParseRecord(f *testing.F) {
	for _, seed := range []string{"", goodHead, goodHead + "\n" + goodBody, "s 1 2 3 4 5-0 6 dev hash 1\na\nb\nc\nd\n\n{}",
		"r -1 -2 -3 -4 x -5 - - -\n\n\n\n\n\n", "o 1 1 1 1 1 1 1 1 1\n\n\n\n\n{\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseRecord(text)
		if err != nil {
			if !errors.Is(err, errReply) {
				t.Fatalf("error %v", err)
			}
			return
		}
		again, err := parseRecord(r.encode())
		if err != nil {
			t.Fatalf("its own encoding is refused: %v", err)
		}
		if again != r {
			t.Fatalf("%+v came back as %+v", r, again)
		}
		for _, now := range []int64{0, r.moment, r.expires()} {
			if j := r.job("0123456789abcdef", now); j.State.Final() != (j.FinishedAt != nil) {
				t.Fatalf("state %s, finished %v", j.State, j.FinishedAt)
			}
		}
		r.delivery("0123456789abcdef", "lease")
	})
}

// Nothing that validation lets through can move a border between the values of
// a request, nor make two requests one.
func TestBodyTellsRequestsApart(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range []relay.JobRequest{
		{IdempotencyKey: "a", TrackingURL: "b", Source: "c", RowID: "d"},
		{IdempotencyKey: "a", TrackingURL: "bc", Source: "", RowID: "d"},
		{IdempotencyKey: "ab", TrackingURL: "", Source: "c", RowID: "d"},
		{IdempotencyKey: "a", TrackingURL: "b", Source: "cd", RowID: ""},
		{IdempotencyKey: "a", TrackingURL: "b", Source: "c", RowID: "d", Context: json.RawMessage(`{}`)},
	} {
		body := recordBody(&r)
		if seen[body] {
			t.Errorf("%+v has the body of another request", r)
		}
		seen[body] = true
		got, err := parseRecord(goodHead + "\n" + body)
		if err != nil || got.key != r.IdempotencyKey || got.url != r.TrackingURL || got.source != r.Source || got.rowID != r.RowID || got.context != string(r.Context) {
			t.Errorf("%+v came back as %+v, %v", r, got, err)
		}
	}
}
