// Package handoff moves what is left in a receiver that goes to a sister: another
// receiver of the same endpoint. It holds both sides, the sender (HandOver) and
// the receiver (Receiver), and nothing else may speak this protocol.
//
// It is plain HTTP inside the pods' network. Events were sent over it in the clear
// by whatever ended the provider's TLS anyway; what matters is who takes part. So
// each side proves that it holds a signing secret of the endpoint, which is never
// sent. Who may reach the port at all is the NetworkPolicy's business.
//
// # Keys
//
// From each signing secret that is shared with the provider (a public key is
// none: anybody may have it), HKDF-SHA256 derives a key and a key id, with the
// protocol's name and version as salt and the endpoint's namespace and name in the
// info. So no webhook signature is ever a proof of this protocol, a proof for one
// endpoint is none for another that shares the secret, and a key id tells no
// secret. Sisters whose secrets are being rotated agree on one that both hold.
//
// Every proof is an HMAC-SHA256 over a label and fields, each with its length in
// front. Numbers are big-endian. Proofs are compared in constant time.
//
// # Begin
//
// POST /v1/handoff/begin, JSON of at most 16 KiB:
//
//	{"version":1, "namespace":…, "name":…, "time":milliseconds, "nonce":32 bytes,
//	 "keys":[{"id":16 bytes, "proof":HMAC(key, "begin", nonce, time)}, …]}
//
// Bytes are in base64. At most 16 keys are offered. The sister takes the first that
// it holds too and whose proof is right. It refuses a time that is more than 5
// minutes off, and a nonce that it has seen in that time. It answers 200:
//
//	{"nonce":32 bytes, "key":id, "accepted":true, "session":16 bytes,
//	 "limit":bytes, "proof":HMAC(key, "welcome", nonce, its nonce, session, 1, reason, limit)}
//
// or accepted false (0 in the proof) with a reason, no session and no limit: it is
// draining, not ready or busy. Its proof covers the sender's nonce, so that a stranger at its
// address can't pass for it. Two session keys, one for each direction, come from
// the key, both nonces and the session by HKDF.
//
// There are at most 8 sessions. One ends by itself after 2 minutes without a
// batch, and after 15 minutes in any case.
//
// # Batch
//
// POST /v1/handoff/batch, the transfers in a binary form (see encode.go), at most
// 256 of them and at most 4 MiB; an event that is larger by itself goes alone, up
// to the limit of the welcome, which follows the endpoint's limit of a body. In
// headers:
//
//	Fairlead-Session: session
//	Fairlead-Batch:   the batch's number in the session, from 1
//	Fairlead-Digest:  SHA-256 of the body
//	Fairlead-Proof:   HMAC(sender's session key, "batch", session, number, digest)
//
// The headers are checked before the body is read. The number must be the next
// one. The number before, with the same digest, gets the answer that was given
// before: an answer may be lost. Everything else is refused. The transfers are
// stored and synced, and only then is answered, with 200:
//
//	{"stored":n, "ack":HMAC(sister's session key, "ack", session, number, digest, n)}
//
// n is how many were new to the sister. The sender forgets what it handed over
// after it has checked the ack, and not before. If it dies in between, or the ack
// is lost, another hand-over repeats the batch: a sister recognises what it has
// received, for a day; two different sisters cannot, so those events are then
// delivered twice. A batch without transfers ends the session.
//
// # Refusals
//
// A refusal is {"reason":…} with the status of the reason (reason.go). It is not
// signed: whoever can forge one can as well cut the connection. It never makes the
// sender forget anything. Of what a sister has no room for, the sender tries less,
// and then the next sister; if a sister does not know a sink, the sender finds out
// which, keeps what is for that one, and goes on with the rest.
//
// # What is told
//
// Errors and logs of this package name counts, reasons and addresses of sisters.
// They hold no id, content or key.
package handoff
