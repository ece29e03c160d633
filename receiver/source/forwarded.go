package source

import (
	"net/netip"
	"strings"
)

// walkForwarded reads Forwarded from its right end, line by line. A line is taken
// apart from its left end, because only so is it clear what stands in quotes; one
// that breaks the grammar anywhere is not believed at all.
func (r *Resolver) walkForwarded(lines []string) (netip.Addr, error) {
	var elements [maxElements]string
	left, bytes := maxElements, maxBytes
	for i := len(lines) - 1; i >= 0; i-- {
		bytes -= len(lines[i])
		if bytes < 0 {
			return netip.Addr{}, noAddress(HeaderUnreadable)
		}
		n, ok := splitForwarded(lines[i], elements[:left])
		if !ok {
			return netip.Addr{}, noAddress(HeaderUnreadable)
		}
		left -= n
		for n--; n >= 0; n-- {
			a, ok := parseNode(elements[n])
			if !ok {
				return netip.Addr{}, noAddress(HeaderUnreadable)
			}
			if !r.trusted.Contains(a) {
				return a, nil
			}
		}
	}
	return netip.Addr{}, noAddress(HeaderTrusted)
}

// splitForwarded writes what each element's "for" says, without quotes, in order;
// it is empty where there is none. It returns how many elements there are, and false
// if there are more than fit or the line is not as RFC 7239 says.
func splitForwarded(line string, into []string) (n int, ok bool) {
	s := scanner{rest: line}
	for {
		if n == len(into) {
			return 0, false
		}
		if into[n], ok = s.element(); !ok {
			return 0, false
		}
		n++
		if s.rest == "" {
			return n, true
		}
		s.rest = s.rest[1:] // a comma
	}
}

// scanner takes a line of Forwarded apart.
type scanner struct{ rest string }

// element reads pairs up to a comma or the end, and returns the value of "for".
func (s *scanner) element() (node string, ok bool) {
	seen := false
	for {
		s.space()
		if s.rest != "" && s.rest[0] != ';' && s.rest[0] != ',' {
			name, value, ok := s.pair()
			if !ok {
				return "", false
			}
			if strings.EqualFold(name, "for") {
				if seen {
					return "", false
				}
				seen, node = true, value
			}
			s.space()
		}
		if s.rest == "" || s.rest[0] == ',' {
			return node, true
		}
		if s.rest[0] != ';' {
			return "", false
		}
		s.rest = s.rest[1:]
	}
}

func (s *scanner) space() { s.rest = strings.TrimLeft(s.rest, " \t") }

// pair reads NAME=VALUE.
func (s *scanner) pair() (name, value string, ok bool) {
	i := 0
	for i < len(s.rest) && isToken(s.rest[i]) {
		i++
	}
	if i == 0 || i == len(s.rest) || s.rest[i] != '=' {
		return "", "", false
	}
	name, s.rest = s.rest[:i], s.rest[i+1:]
	if strings.HasPrefix(s.rest, `"`) {
		value, ok = s.quoted()
	} else {
		value, ok = s.bare()
	}
	return name, value, ok
}

// bare reads a value without quotes. The colon and the brackets of an address should
// have quotes, but many proxies do without, and without them nothing is in doubt.
func (s *scanner) bare() (string, bool) {
	i := 0
	for i < len(s.rest) && (isToken(s.rest[i]) || strings.IndexByte(":[]", s.rest[i]) >= 0) {
		i++
	}
	value := s.rest[:i]
	s.rest = s.rest[i:]
	return value, i > 0
}

// quoted reads a value in quotes and returns what is between them; what is escaped
// there stays so, because no address has an escape.
func (s *scanner) quoted() (string, bool) {
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '"':
			value := s.rest[1:i]
			s.rest = s.rest[i+1:]
			return value, true
		case c == '\\':
			i++
		case c < ' ' && c != '\t' || c == 0x7f:
			return "", false
		}
	}
	return "", false
}

// isToken reports whether a byte may stand in a token of RFC 9110.
func isToken(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// parseNode reads the value of "for": IPv4, or IPv6 in brackets, perhaps with a
// port. There is no address in "unknown" and in what begins with an underscore.
func parseNode(text string) (netip.Addr, bool) {
	if text == "" || len(text) > maxElement {
		return netip.Addr{}, false
	}
	if text[0] != '[' && strings.Count(text, ":") > 1 {
		return netip.Addr{}, false
	}
	a, ok := parseHost(text)
	return a.Unmap(), ok && a.Zone() == ""
}
