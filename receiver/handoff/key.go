package handoff

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// protocol is the name and version that every key is bound to.
const protocol = "fairlead hand-off v1"

const (
	version     = 1
	nonceSize   = 32
	sessionSize = 16
	keyIDSize   = 16
	keySize     = sha256.Size
	// maxKeys is how many secrets an endpoint may have.
	maxKeys = 16
)

// ErrNoSecret means that there is no secret to prove anything by: the endpoint has
// none that is usable, or only public keys.
var ErrNoSecret = errors.New("there is no usable secret that sisters share")

// Endpoint says whose events are handed over.
type Endpoint struct{ Namespace, Name string }

// Secret is a signing secret that is shared with the provider. Public keys must
// not be given: anybody could prove to be a sister by them.
type Secret struct {
	// Name is that of the entry; it is not sent.
	Name string
	// Value is the entry's value.
	Value []byte
}

// key is what is derived from one secret for one endpoint.
type key struct {
	id     [keyIDSize]byte
	secret []byte
}

// keys derives the keys of an endpoint.
func keys(ep Endpoint, secrets []Secret) ([]key, error) {
	var all []key
	for _, s := range secrets[:min(len(secrets), maxKeys)] {
		if len(s.Value) == 0 {
			continue // anybody could use it
		}
		k, err := newKey(ep, s.Value)
		if err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	if len(all) == 0 {
		return nil, ErrNoSecret
	}
	return all, nil
}

func newKey(ep Endpoint, secret []byte) (key, error) {
	bound := "\x00" + ep.Namespace + "\x00" + ep.Name // neither can hold a zero
	id, err := derive(secret, []byte(protocol), "id"+bound)
	if err != nil {
		return key{}, err
	}
	proof, err := derive(secret, []byte(protocol), "proof"+bound)
	return key{id: [keyIDSize]byte(id), secret: proof}, err
}

func derive(secret, salt []byte, info string) ([]byte, error) {
	k, err := hkdf.Key(sha256.New, secret, salt, info, keySize)
	if err != nil {
		return nil, errors.New("deriving a key: the secret cannot be used for it") // the cause might describe the secret
	}
	return k, nil
}

// sessionKeys are the keys of one session: of what the sender says, and of what
// the sister does.
type sessionKeys struct{ sender, sister []byte }

func newSessionKeys(k []byte, senderNonce, sisterNonce, session []byte) (s sessionKeys, err error) {
	salt := append(append([]byte(nil), senderNonce...), sisterNonce...)
	if s.sender, err = derive(k, salt, protocol+" sender\x00"+string(session)); err != nil {
		return s, err
	}
	s.sister, err = derive(k, salt, protocol+" sister\x00"+string(session))
	return s, err
}

// proof is an HMAC over a label and fields.
func proof(key []byte, label string, fields ...[]byte) []byte {
	m := hmac.New(sha256.New, key)
	write := func(b []byte) { // a hash takes everything
		_, _ = m.Write(binary.BigEndian.AppendUint32(nil, uint32(len(b))))
		_, _ = m.Write(b)
	}
	write([]byte(label))
	for _, f := range fields {
		write(f)
	}
	return m.Sum(nil)
}

// number is n as a field of a proof.
func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// flag is b as a field of a proof.
func flag(b bool) []byte {
	if b {
		return []byte{1}
	}
	return []byte{0}
}
