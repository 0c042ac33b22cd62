package builder

// chain is one expression while it is read: its methods, and what is known of
// the value that they make. Which value is text and which raw bytes does not
// depend on the data, so that every such mistake is found before anything is
// signed.
type chain struct {
	*parser
	calls []call
	raw   string // the method that made the value raw bytes; "" while it is text
}

// next reads one method, from its dot to the token behind it.
func (c *chain) next() *Error {
	m, at, err := c.name()
	if err != nil {
		return err
	}
	if reason := c.refuses(m); reason != "" {
		c.token.at = at
		return c.fail(reason)
	}
	made, err := c.arguments(m)
	if err != nil {
		return err
	}
	made.at = at
	c.calls = append(c.calls, made)
	switch m.makes {
	case raw:
		c.raw = m.name
	case text:
		c.raw = ""
	}
	return nil
}

// refuses returns why a method cannot come here, or "".
func (c *chain) refuses(m *method) string {
	switch {
	case c.last() == printDigest:
		return afterPrint
	case c.last() == getExpiryTime:
		return afterTime
	case len(c.calls) > 0 && m.name == getExpiryTime:
		return timeInChain
	case len(c.calls) == 0 && !m.first:
		return nothingYet
	case m.wantText && c.raw != "":
		return "cannot have the raw bytes that " + c.raw + "() makes: put toHex() or encodeBase64() in between"
	}
	return ""
}

// close wants the end of the expression at hand: the semicolon and the brace.
func (c *chain) close() *Error {
	closing := c.token.kind == end || c.token.is(mark, ";") || c.token.is(mark, "}")
	switch {
	case len(c.calls) == 0:
		return c.fail(noMethod)
	case !closing:
		return c.fail(noDot)
	case c.last() != printDigest && c.last() != getExpiryTime:
		return c.fail(noPrint)
	case !c.token.is(mark, ";"):
		return c.fail(noSemicolon)
	}
	if err := c.scan(); err != nil {
		return err
	}
	if !c.token.is(mark, "}") {
		return c.fail(noBrace)
	}
	return nil
}

// last names the method before, "" at the beginning.
func (c *chain) last() string {
	if len(c.calls) == 0 {
		return ""
	}
	return c.calls[len(c.calls)-1].method.name
}
