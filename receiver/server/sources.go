package server

import (
	"github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/receiver/source"
)

// sourceStatus says who may send, and what was found about those who did.
func (r *Receiver) sourceStatus(c *v1alpha1.Config) statusz.Sources {
	found := r.metrics.Findings().Report(r.o.Now())
	s := statusz.Sources{Mode: string(c.Sources.Mode), Ranges: len(c.Sources.Ranges),
		LastUnlistedValid: statusz.When(r.metrics.LastUnlistedValid()),
		Finding:           finding(&found), Verified: found.Verified(), Unknown: found.Unknown, Unlisted: found.Unlisted, Via: via(c.Sources)}
	for _, a := range found.Addresses {
		s.Addresses = append(s.Addresses, a.String())
	}
	return s
}

func via(s v1alpha1.Sources) string {
	switch {
	case s.ProxyProtocol:
		return statusz.SourceViaProxyProtocol
	case len(s.TrustedProxies) > 0:
		return statusz.SourceViaHeader
	}
	return statusz.SourceViaPeer
}

// finding says of what kind most of the addresses were from which verified requests
// came. Where two kinds are as many, it is the one by which clients are hidden.
func finding(r *source.Report) string {
	seen, single := r.Kinds[source.Listed], r.Kinds[source.Public]
	if r.Publics > 1 || seen > 0 {
		seen, single = seen+single, 0
	}
	most, of := int64(0), statusz.SourceNoTraffic
	for _, k := range []struct {
		n    int64
		name string
	}{
		{r.Kinds[source.Node], statusz.SourceNode}, {r.Kinds[source.Pod], statusz.SourcePod}, {r.Kinds[source.Private], statusz.SourcePrivate},
		{single, statusz.SourceSingle}, {seen, statusz.SourcePreserved},
	} {
		if k.n > most {
			most, of = k.n, k.name
		}
	}
	return of
}
