package handoff

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Paths and headers of the protocol.
const (
	beginPath     = "/v1/handoff/begin"
	batchPath     = "/v1/handoff/batch"
	sessionHeader = "Fairlead-Session"
	batchHeader   = "Fairlead-Batch"
	digestHeader  = "Fairlead-Digest"
	proofHeader   = "Fairlead-Proof"
)

// maxMessage bounds every message that is JSON.
const maxMessage = 16 << 10

// hello is what a sender begins with.
type hello struct {
	Version   int      `json:"version"`
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	Time      int64    `json:"time"` // milliseconds since 1970
	Nonce     []byte   `json:"nonce"`
	Keys      []keyUse `json:"keys"`
}

// keyUse is a key that the sender holds, and its proof of that.
type keyUse struct {
	ID    []byte `json:"id"`
	Proof []byte `json:"proof"`
}

// prove is the sender's proof with one of its keys.
func (h *hello) prove(k key) []byte {
	return proof(k.secret, "begin", h.Nonce, number(uint64(h.Time)))
}

// wellFormed checks what no sender does otherwise.
func (h *hello) wellFormed() bool {
	if h.Version != version || len(h.Nonce) != nonceSize || len(h.Keys) == 0 || len(h.Keys) > maxKeys {
		return false
	}
	for _, k := range h.Keys {
		if len(k.ID) != keyIDSize || len(k.Proof) != keySize {
			return false
		}
	}
	return true
}

// welcome answers a hello that is proven.
type welcome struct {
	Nonce    []byte `json:"nonce"`
	Key      []byte `json:"key"`
	Accepted bool   `json:"accepted"`
	Reason   Reason `json:"reason,omitempty"`
	Session  []byte `json:"session,omitempty"`
	// Limit is the most bytes that a batch of one transfer may have.
	Limit int64  `json:"limit,omitempty"`
	Proof []byte `json:"proof"`
}

// prove is the sister's proof with the key that both hold.
func (w *welcome) prove(k []byte, senderNonce []byte) []byte {
	return proof(k, "welcome", senderNonce, w.Nonce, w.Session, flag(w.Accepted), []byte(w.Reason), number(uint64(w.Limit)))
}

// receipt answers a batch that is stored.
type receipt struct {
	Stored uint64 `json:"stored"`
	Ack    []byte `json:"ack"`
}

// batchProof is the sender's proof of a batch.
func (k sessionKeys) batchProof(session []byte, n uint64, digest []byte) []byte {
	return proof(k.sender, "batch", session, number(n), digest)
}

// ack is the sister's proof that a batch is stored.
func (k sessionKeys) ack(session []byte, n uint64, digest []byte, stored uint64) []byte {
	return proof(k.sister, "ack", session, number(n), digest, number(stored))
}

// decodeMessage reads one JSON message and nothing behind it.
func decodeMessage(r io.Reader, v any) error {
	b, err := io.ReadAll(io.LimitReader(r, maxMessage+1))
	if err != nil {
		return fmt.Errorf("reading message: %w", err)
	}
	if len(b) > maxMessage {
		return errors.New("reading message: it is too long")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return errors.New("reading message: it is not what it should be") // the cause might quote it
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("reading message: something stands behind it")
	}
	return nil
}
