package intake

// chunkedByProxy reports whether a request with chunks comes from a trusted proxy.
// Its connection is not used again: net/http drops a Content-Length that stands
// beside chunks, and does not tell. A proxy that went by the length would have sent
// on, as this request's body, what is read here as the next request, with headers
// of a client's choosing from a peer that is believed. Proxies that keep to the
// standard send no such thing; they lose a connection now and then.
func (q *request) chunkedByProxy() bool {
	return len(q.r.TransferEncoding) > 0 && q.ep.resolver.Trusts(q.r)
}
