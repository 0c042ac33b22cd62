package relay

import "time"

// Bounds of the wire contract (CONTRACT §2 to §4). They are constants because
// clients are written against them; what an operator may tune is in config.
const (
	MaxFetchBody       = 16 << 10 // bytes of a fetch body
	MaxActionBody      = 80 << 10 // bytes of a desktop or operator body; holds MaxResult and its envelope
	MaxResult          = 64 << 10 // bytes of a job's result, as compact JSON
	MaxJSONDepth       = 32       // nesting of any JSON we accept
	MaxContext         = 4 << 10  // bytes of a job's context, as compact JSON
	MaxIdempotencyKey  = 255      // characters
	MaxTrackingURL     = 4096     // bytes
	MaxSource          = 64       // characters
	MaxRowID           = 256      // characters
	MaxName            = 100      // characters of a device's or key's name
	MaxFailureText     = 2000     // characters of a delivery's failure text
	MaxHeaderBytes     = 16 << 10 // bytes of all request headers together
	MaxWait            = 25 * time.Second
	MinExpiry          = time.Minute
	MaxExpiry          = 7 * 24 * time.Hour
	DefaultExpiry      = 24 * time.Hour
	Retention          = 24 * time.Hour // how long the record of a final job can be read
	MaxStreamsInFlight = 1000           // the largest maxInFlight a desktop may ask for
	DefaultInFlight    = 4
	MinLinkCodeTTL     = time.Minute
	MaxLinkCodeTTL     = 24 * time.Hour
	DefaultLinkCodeTTL = 15 * time.Minute
	MaxSecrets         = 3                   // secrets of one key at a time
	MaxGrace           = 30 * 24 * time.Hour // the longest graceSeconds of a rotation
	DefaultGrace       = 24 * time.Hour
	MaxLimit           = 1_000_000_000  // the largest limit of a plan or account
	MaxRetryDelay      = 24 * time.Hour // the longest delaySeconds of a failed delivery
)
