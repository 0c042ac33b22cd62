package relay

// FrameKind names a frame of the desktop stream (CONTRACT §4).
type FrameKind string

// The frames of a desktop stream.
const (
	FrameHello  FrameKind = "hello"
	FrameJob    FrameKind = "job"
	FrameCancel FrameKind = "cancel"
	FrameKeys   FrameKind = "keys"
	FramePing   FrameKind = "ping"
	FrameDrain  FrameKind = "drain"
	FrameBye    FrameKind = "bye"
)

// Hello is the first frame of a stream.
type Hello struct {
	SessionID     string `json:"sessionId"`
	PingSeconds   int    `json:"pingSeconds"`
	LeaseSeconds  int    `json:"leaseSeconds"`
	OfferSeconds  int    `json:"offerSeconds"`
	MaxAgeSeconds int    `json:"maxAgeSeconds"`
}

// CancelFrame tells a device that a job it holds was cancelled.
type CancelFrame struct {
	JobID string `json:"jobId"`
}

// KeysFrame tells a device that the account's key inventory changed.
type KeysFrame struct {
	Revision int64 `json:"revision"`
}

// Ping shows that the stream is alive.
type Ping struct {
	Seq int64 `json:"seq"`
}

// Drain asks the device to reconnect elsewhere; this replica is going away.
type Drain struct {
	ReconnectAfterMS int64 `json:"reconnectAfterMs"`
}

// Bye is the last frame of a stream.
type Bye struct {
	Code         string `json:"code"` // max_age, device_removed, slow_reader, draining, store_unavailable, replaced
	RetryAfterMS int64  `json:"retryAfterMs"`
}
