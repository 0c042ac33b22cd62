package signature

import (
	"fmt"
	"time"
)

// How many digits a timestamp has, in seconds (until 2286) and in milliseconds.
const (
	secondsLen      = 10
	millisecondsLen = 13
)

func isSeconds(text string) bool { return within(text, secondsLen, secondsLen, isDigit) }

func isMilliseconds(text string) bool {
	return within(text, millisecondsLen, millisecondsLen, isDigit)
}

// digits returns the value of a text of at most 18 digits.
func digits(text string) (n int64) {
	for i := range len(text) {
		n = n*10 + int64(text[i]-'0')
	}
	return n
}

// unixSeconds pads to the ten digits that the schemes want, for clocks set
// before September 2001 (a simulated one, for instance).
func unixSeconds(at time.Time) string { return fmt.Sprintf("%0*d", secondsLen, at.Unix()) }

func unixMillis(at time.Time) string { return fmt.Sprintf("%0*d", millisecondsLen, at.UnixMilli()) }
