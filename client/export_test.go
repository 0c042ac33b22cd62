package client

import "io"

// ReadFrames reads frames until the stream fails, for tests of the reader alone.
func ReadFrames(r io.Reader) (frames []Frame, err error) {
	f := newFrameReader(r)
	for {
		next, err := f.next()
		if err != nil {
			return frames, err
		}
		frames = append(frames, next)
	}
}

// RateLimit exposes the reader of RateLimit fields.
var RateLimit = rateLimit

// Bounds the tests name.
const (
	MaxFrame     = maxFrame
	HelloTimeout = helloTimeout
	WindUp       = windUp
)
