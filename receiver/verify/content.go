package verify

import (
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strings"
)

type pieceKind int

const (
	pieceText pieceKind = iota
	pieceBody
	pieceTimestamp
	pieceID
	pieceMethod
	pieceHeader
)

// piece is a part of the signed bytes.
type piece struct {
	kind pieceKind
	text string // the text of pieceText, the canonical name of pieceHeader
}

// content is a template of the signed bytes, compiled.
type content []piece

// compileTemplate compiles a template. Text stands for itself, and what stands in
// braces is a placeholder; there is no way to write a brace as text.
func compileTemplate(template, url string) (content, error) {
	var c content
	for rest := template; rest != ""; {
		text, after, opened := strings.Cut(rest, "{")
		if strings.Contains(text, "}") {
			return nil, errors.New("a closing brace has no opening one")
		}
		if text != "" {
			c = append(c, piece{kind: pieceText, text: text})
		}
		if !opened {
			break
		}
		name, next, closed := strings.Cut(after, "}")
		if !closed || strings.Contains(name, "{") {
			return nil, errors.New("an opening brace has no closing one")
		}
		p, err := placeholder(name, url)
		if err != nil {
			return nil, err
		}
		c, rest = append(c, p), next
	}
	if !c.has(pieceBody) {
		return nil, errors.New("{body} is missing")
	}
	return c, nil
}

func placeholder(name, url string) (piece, error) {
	switch name {
	case "body":
		return piece{kind: pieceBody}, nil
	case "timestamp":
		return piece{kind: pieceTimestamp}, nil
	case "id":
		return piece{kind: pieceID}, nil
	case "method":
		return piece{kind: pieceMethod}, nil
	case "url":
		if url == "" {
			return piece{}, errors.New("{url} is signed, and the endpoint's public URL is not known; set its host")
		}
		return piece{kind: pieceText, text: url}, nil
	}
	header, found := strings.CutPrefix(name, "header:")
	if !found || header == "" {
		return piece{}, fmt.Errorf("placeholder %q is not known", name)
	}
	return piece{kind: pieceHeader, text: http.CanonicalHeaderKey(header)}, nil
}

func (c content) has(kind pieceKind) bool {
	for _, p := range c {
		if p.kind == kind {
			return true
		}
	}
	return false
}

// claim is what a request says about its signature.
type claim struct {
	request    Request
	id         string
	timestamp  string // as it was sent
	signatures candidates
}

// claim reads what the scheme needs from a request. It reports false if something
// is missing, repeated or malformed.
func (s *signature) claim(c *claim, value string, r *Request) bool {
	c.request = *r
	if !s.format.read(s, value, c) {
		return false
	}
	if s.idHeader != "" && s.content.has(pieceID) {
		var found bool
		if c.id, found = single(r.Header, s.idHeader); !found {
			return false
		}
	}
	for _, p := range s.content {
		if p.kind != pieceHeader {
			continue
		}
		if _, found := single(r.Header, p.text); !found {
			return false
		}
	}
	return s.time == nil || s.time.read(c)
}

// write writes the signed bytes into h, piece by piece. Text goes by way of
// buffer, so that nothing is allocated.
func (c content) write(h hash.Hash, claim *claim, buffer []byte) {
	for _, p := range c {
		if p.kind == pieceBody {
			_, _ = h.Write(claim.request.Body) // a hash takes everything
			continue
		}
		for text := p.value(claim); text != ""; {
			n := copy(buffer, text)
			_, _ = h.Write(buffer[:n])
			text = text[n:]
		}
	}
}

// bytes returns the signed bytes as a whole, for algorithms that need them so.
func (c content) bytes(claim *claim) []byte {
	if len(c) == 1 {
		return claim.request.Body
	}
	message := make([]byte, 0, len(claim.request.Body)+256)
	for _, p := range c {
		if p.kind == pieceBody {
			message = append(message, claim.request.Body...)
		} else {
			message = append(message, p.value(claim)...)
		}
	}
	return message
}

// value returns the text of a piece that is not the body.
func (p piece) value(c *claim) string {
	switch p.kind {
	case pieceTimestamp:
		return c.timestamp
	case pieceID:
		return c.id
	case pieceMethod:
		return c.request.Method
	case pieceHeader:
		return c.request.Header[p.text][0] // claim has seen to it that there is one
	}
	return p.text
}
