package handoff

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

// errForged means that an answer does not come from a sister.
var errForged = errors.New("the answer is not a sister's: its proof is wrong")

const (
	dialTimeout  = 2 * time.Second
	beginTimeout = 5 * time.Second
	// batchTimeout is how long one batch may take: it is stored and synced.
	batchTimeout = 20 * time.Second
)

// sister is a session as the sender sees it.
type sister struct {
	client  *http.Client
	addr    netip.AddrPort
	session []byte
	limit   int64
	keys    sessionKeys
	sent    uint64 // the number of the last batch that was acknowledged
	// unknown are the sinks that it does not know.
	unknown map[string]bool
}

// begin opens a session with the sister at addr.
func begin(ctx context.Context, client *http.Client, addr netip.AddrPort, ep Endpoint, own []key, now time.Time) (*sister, error) {
	ctx, cancel := context.WithTimeout(ctx, beginTimeout)
	defer cancel()
	h := hello{Version: version, Namespace: ep.Namespace, Name: ep.Name, Time: now.UnixMilli(), Nonce: make([]byte, nonceSize)}
	_, _ = rand.Read(h.Nonce) // never fails
	for _, k := range own {
		h.Keys = append(h.Keys, keyUse{ID: k.id[:], Proof: h.prove(k)})
	}
	body, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("writing message: %w", err)
	}
	s := &sister{client: client, addr: addr, unknown: map[string]bool{}}
	var w welcome
	if err := s.post(ctx, beginPath, body, nil, &w); err != nil {
		return nil, err
	}
	return s, s.accept(&h, &w, own)
}

// accept checks a welcome, and takes the session from it.
func (s *sister) accept(h *hello, w *welcome, own []key) error {
	for _, k := range own {
		if !bytes.Equal(k.id[:], w.Key) {
			continue
		}
		if len(w.Nonce) != nonceSize || !hmac.Equal(w.Proof, w.prove(k.secret, h.Nonce)) {
			return errForged
		}
		if !w.Accepted {
			return refusal{w.Reason}
		}
		s.session, s.limit = w.Session, w.Limit
		var err error
		s.keys, err = newSessionKeys(k.secret, h.Nonce, w.Nonce, w.Session)
		return err
	}
	return errForged
}

// offer posts the next batch. Nil means that the sister has proven to have stored
// it, and how many of its transfers were new to her.
func (s *sister) offer(ctx context.Context, body []byte) (stored uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	n, sum := s.sent+1, sha256.Sum256(body)
	head := map[string]string{
		sessionHeader: base64.StdEncoding.EncodeToString(s.session),
		batchHeader:   strconv.FormatUint(n, 10),
		digestHeader:  base64.StdEncoding.EncodeToString(sum[:]),
		proofHeader:   base64.StdEncoding.EncodeToString(s.keys.batchProof(s.session, n, sum[:])),
	}
	var r receipt
	if err := s.post(ctx, batchPath, body, head, &r); err != nil {
		return 0, err
	}
	if !hmac.Equal(r.Ack, s.keys.ack(s.session, n, sum[:], r.Stored)) {
		return 0, errForged
	}
	s.sent = n
	return r.Stored, nil
}

// post makes one request and reads its answer, or the refusal.
func (s *sister) post(ctx context.Context, path string, body []byte, head map[string]string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.addr.String()+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("making request: %w", err)
	}
	for name, value := range head {
		req.Header.Set(name, value)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return fmt.Errorf("asking a sister: %w", err)
	}
	defer resp.Body.Close()
	defer func() { _, _ = io.CopyN(io.Discard, resp.Body, maxMessage) }() // so that the connection can be used again
	if resp.StatusCode != http.StatusOK {
		return refusalOf(resp)
	}
	return decodeMessage(resp.Body, answer)
}

// refusalOf reads a refusal. What it says is believed only as far as it is known.
func refusalOf(resp *http.Response) error {
	var r refusal
	if decodeMessage(resp.Body, &r) == nil {
		for _, known := range Reasons() {
			if r.Reason == known {
				return r
			}
		}
	}
	return fmt.Errorf("the sister answers with status %d", resp.StatusCode)
}
