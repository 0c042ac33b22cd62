package redisstore

// reply reads the elements of a script's answer. The first mismatch sticks:
// check err once, at the end.
type reply struct {
	v   []any
	err error
}

func (r *reply) text(i int) string {
	if i < len(r.v) {
		if s, ok := r.v[i].(string); ok {
			return s
		}
	}
	r.err = errReply
	return ""
}

func (r *reply) number(i int) int64 {
	if i < len(r.v) {
		if n, ok := r.v[i].(int64); ok {
			return n
		}
	}
	r.err = errReply
	return 0
}

func (r *reply) list(i int) *reply {
	if i < len(r.v) {
		if l, ok := r.v[i].([]any); ok {
			return &reply{v: l}
		}
	}
	r.err = errReply
	return &reply{}
}

// texts returns all elements, which must be texts.
func (r *reply) texts() ([]string, error) {
	out := make([]string, len(r.v))
	for i := range r.v {
		out[i] = r.text(i)
	}
	return out, r.err
}
