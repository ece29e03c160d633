// Package verify decides whether a request was signed with one of an endpoint's
// secrets. It knows ways of signing as data (algorithm, encoding, header format,
// template of the signed bytes, time of signing), and no providers: those are
// profiles.
//
// Everything here fails closed: a request in which anything that the scheme names
// is missing, repeated or malformed is not verified. Nothing does I/O or reads
// the clock, and no error or problem holds a secret, a header's value or a body.
//
// A new way of signing is one file here and one case in key.go.
package verify
