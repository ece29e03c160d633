package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// A yardstick is the least that a webhook handler must do: it reads the body,
// checks its HMAC and answers {}. It stores nothing. What a receiver costs above
// it is what it does besides.
type yardstick struct {
	macs    sync.Pool // of hash.Hash, keyed
	buffers sync.Pool // of *bytes.Buffer
}

// maxBody is what the yardstick reads at most, as much as a receiver does.
const maxBody = 1 << 20

func newYardstick(secret []byte) *yardstick {
	return &yardstick{
		macs:    sync.Pool{New: func() any { return hmac.New(sha256.New, secret) }},
		buffers: sync.Pool{New: func() any { return new(bytes.Buffer) }},
	}
}

func (y *yardstick) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		if status := y.check(w, r); status != http.StatusOK {
			w.WriteHeader(status)
			return
		}
	}
	w.Header()["Content-Type"] = []string{"application/json"}
	_, _ = w.Write([]byte("{}"))
}

// check reads the request and returns the status that it deserves.
func (y *yardstick) check(w http.ResponseWriter, r *http.Request) int {
	buf, _ := y.buffers.Get().(*bytes.Buffer)
	defer y.buffers.Put(buf)
	buf.Reset()
	if r.ContentLength > 0 && r.ContentLength <= maxBody {
		buf.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	if _, err := buf.ReadFrom(http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
		return http.StatusRequestEntityTooLarge
	}
	if !y.signed(buf.Bytes(), r.Header.Get("X-Signature")) {
		return http.StatusUnauthorized
	}
	return http.StatusOK
}

func (y *yardstick) signed(body []byte, signature string) bool {
	var want, got [sha256.Size]byte
	if len(signature) != 2*sha256.Size {
		return false
	}
	if _, err := hex.Decode(got[:], []byte(signature)); err != nil {
		return false
	}
	mac, _ := y.macs.Get().(hash.Hash)
	defer y.macs.Put(mac)
	mac.Reset()
	mac.Write(body)
	mac.Sum(want[:0])
	return hmac.Equal(got[:], want[:])
}

func yardstickVerb(ctx context.Context, args []string) error {
	fs := flags("yardstick")
	addr := fs.String("addr", "127.0.0.1:9001", "where to listen")
	if err := fs.Parse(args); err != nil {
		return err
	}
	secret := os.Getenv(secretVar)
	if secret == "" {
		return fmt.Errorf("%s is not set: it holds the signing secret", secretVar)
	}
	s := &http.Server{Addr: *addr, Handler: newYardstick([]byte(secret)), ReadHeaderTimeout: 5 * time.Second}
	return serve(ctx, s)
}

// serve serves until ctx ends.
func serve(ctx context.Context, s *http.Server) error {
	s.BaseContext = func(net.Listener) context.Context { return ctx }
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	if err := s.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}
