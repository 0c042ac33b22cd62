package handler

import "linkrelay/relay"

// encoder appends one frame in the form of a transport.
type encoder func(dst []byte, kind relay.FrameKind, data any) ([]byte, error)

// appendSSE appends a server-sent event (WHATWG HTML §9.2.6). Its data is JSON
// on one line: encoding/json escapes every control character inside strings and
// compacts raw members, so nothing a platform sent can end the line and begin
// a frame of its own.
func appendSSE(dst []byte, kind relay.FrameKind, data any) ([]byte, error) {
	head := append(append(append(dst, "event: "...), kind...), "\ndata: "...)
	frame, err := appendJSON(head, data)
	if err != nil {
		return dst, err
	}
	return append(frame, "\n\n"...), nil
}
