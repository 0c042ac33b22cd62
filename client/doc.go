// Package client is the Go SDK of linkrelay, for both of its sides.
//
// A platform signs and submits link fetches with a [Platform] and reads their
// results:
//
//	p, err := client.NewPlatform(client.Options{BaseURL: relayURL, KeyID: id, Secret: secret})
//	job, err := p.SubmitAndWait(ctx, relay.JobRequest{TrackingURL: link, Source: "newsletter", RowID: "42"})
//
// A desktop is linked once with [Link] and then works off its account's jobs
// with [Desktop.Run].
//
// Every call is signed with the scheme link-peeler v2 (CONTRACT §2). A call
// that failed on the way is signed anew (fresh nonce, fresh timestamp) before
// it is sent again, so a retry is never mistaken for a replay. Refusals by the
// relay are *[relay.Error] values with a stable code; an answer that did not
// come from the relay, such as a proxy's error page, is an *[AnswerError].
package client
