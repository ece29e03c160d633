// Package load makes webhook requests as Stream sends them and drives a system
// with them: as fast as it answers, or at a fixed rate.
package load

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// BodySize is about how many bytes each body has.
const BodySize = 1280

// idDigits is how many digits of an id count requests.
const idDigits = 12

// A Pool holds requests that were signed ahead, each with a body of its own.
// It is read only, so any number of connections may take from it.
type Pool struct {
	requests []request
}

// request is one request as it goes over the wire.
type request struct {
	wire []byte
	id   int // where in wire the last digits of the id stand
}

// NewPool makes n requests to path at host, signed with secret. The run tells
// the ids of one pool from those of another: it is at most 8 hex digits.
func NewPool(n int, host, path, secret string, run uint32) *Pool {
	p := &Pool{requests: make([]request, n)}
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same bodies in every run, so that runs compare
	for i := range p.requests {
		p.requests[i] = newRequest(Body(i, r), host, path, secret, run)
	}
	return p
}

func newRequest(body []byte, host, path, secret string, run uint32) request {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\n", path, host)
	b.WriteString("User-Agent: fairlead-bench\r\nAccept: */*\r\nContent-Type: application/json\r\n")
	b.WriteString("X-Api-Key: benchkey\r\nX-Webhook-Attempt: 1\r\n")
	fmt.Fprintf(&b, "X-Signature: %s\r\n", hex.EncodeToString(mac.Sum(nil)))
	fmt.Fprintf(&b, "X-Webhook-Id: %08x-0000-4000-8000-", run)
	id := b.Len()
	b.WriteString(strings.Repeat("0", idDigits) + "\r\n")
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n", len(body))
	b.Write(body)
	return request{wire: b.Bytes(), id: id}
}

// appendTo appends the n-th request that is sent, with an id that no other has.
func (p *Pool) appendTo(buf []byte, n uint64) []byte {
	r := &p.requests[n%uint64(len(p.requests))]
	at := len(buf) + r.id
	buf = append(buf, r.wire...)
	putDigits(buf[at:at+idDigits], n)
	return buf
}

// putDigits writes v in decimal over the whole of dst.
func putDigits(dst []byte, v uint64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = byte('0' + v%10)
		v /= 10
	}
}

// Body makes the i-th message.new event: about BodySize bytes, and no two alike.
func Body(i int, r *rand.Rand) []byte {
	var b bytes.Buffer
	user := "user-" + strconv.Itoa(r.IntN(5000))
	channel := "room-" + strconv.Itoa(r.IntN(2000))
	at := fmt.Sprintf("2026-01-%02dT%02d:%02d:%02d.%06dZ", 1+i%28, i%24, i%60, (i/60)%60, r.IntN(1e6))
	person := fmt.Sprintf(`{"id":%q,"role":"user","name":"Person %s","online":true,"banned":false,"created_at":%q,"updated_at":%q,"last_active":%q}`,
		user, user, at, at, at)
	fmt.Fprintf(&b, `{"type":"message.new","created_at":%q,"cid":"messaging:%s","channel_type":"messaging","channel_id":%q,`, at, channel, channel)
	fmt.Fprintf(&b, `"user":%s,"message_id":"%s-%d","watcher_count":%d,"unread_count":%d,`, person, user, i, r.IntN(50), r.IntN(9))
	fmt.Fprintf(&b, `"message":{"id":"%s-%d","cid":"messaging:%s","type":"regular","user":%s,"created_at":%q,"updated_at":%q,`, user, i, channel, person, at, at)
	b.WriteString(`"attachments":[],"mentioned_users":[],"latest_reactions":[],"own_reactions":[],"reaction_counts":{},"reply_count":0,"pinned":false,"silent":false,"shadowed":false,"text":"`)
	for b.Len() < BodySize-3 {
		b.WriteString(words[r.IntN(len(words))])
		b.WriteByte(' ')
	}
	b.WriteString(`"}}`)
	return b.Bytes()
}

// words is what people in the made-up chat say.
var words = [...]string{
	"anchor", "beacon", "berth", "bollard", "buoy", "cargo", "chart", "cleat", "compass", "crew",
	"current", "deck", "ebb", "fathom", "ferry", "flood", "galley", "harbour", "helm", "hull",
	"keel", "knot", "lantern", "ledger", "mast", "mooring", "oar", "pilot", "quay", "rigging",
	"rope", "rudder", "sail", "shoal", "signal", "sound", "stern", "tide", "tiller", "watch",
}
