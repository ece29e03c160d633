package server_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/receiver/server"
	"github.com/fairlead-dev/fairlead/receiver/server/servertest"
)

// TestSmuggling sends, as a proxy that is trusted and careless would, requests about
// whose end two readers can disagree. Behind or inside of each is a second one, with
// a valid signature and a listed address, that must not be taken: everything ends in
// the answers that are listed, and then the connection does. 0 is its end.
//
// What the library does: it refuses what has no one meaning (400, 501, 505), drops a
// Content-Length beside chunks, and knows bare line feeds and folded lines, which
// change nothing about where a request ends. What we add: a connection of a trusted
// proxy ends after a request with chunks, because the library would go on with what
// the proxy may have taken for its body.
func TestSmuggling(t *testing.T) {
	sink := servertest.NewSinkhole(t, nil)
	r := start(t, t.TempDir(), behind(t, sink, false), servertest.Secrets(servertest.OldSecret))
	listed := "X-Forwarded-For: " + published + "\r\n"
	inner := strings.Replace(raw(t, "smuggled"), "Host: x\r\n", "Host: x\r\n"+listed, 1)
	head := "POST /hooks HTTP/1.1\r\nHost: x\r\n" + listed
	chunked := "Transfer-Encoding: chunked\r\n"
	ready := "GET /.well-known/fairlead/ready HTTP/1.1\r\nHost: x\r\n"
	length := func(n int) string { return fmt.Sprintf("Content-Length: %d\r\n", n) }
	chunk := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(inner), inner)
	end := "0\r\n\r\n"
	for name, tt := range map[string]struct {
		send string
		want []int
	}{
		"CL.TE":                      {head + length(len(end+inner)) + chunked + "\r\n" + end + inner, []int{401, 0}},
		"TE.CL":                      {head + length(4) + chunked + "\r\n" + chunk, []int{401, 0}},
		"TE.CL, no length":           {head + length(0) + chunked + "\r\n" + chunk, []int{401, 0}},
		"chunks, then more":          {head + chunked + "\r\n" + end + inner, []int{401, 0}},
		"TE twice":                   {head + chunked + chunked + "\r\n" + end + inner, []int{501, 0}},
		"TE identity too":            {head + chunked + "Transfer-Encoding: identity\r\n\r\n" + end + inner, []int{501, 0}},
		"TE list":                    {head + "Transfer-Encoding: chunked, identity\r\n\r\n" + end + inner, []int{501, 0}},
		"TE gzip":                    {head + "Transfer-Encoding: gzip, chunked\r\n\r\n" + end + inner, []int{501, 0}},
		"TE misspelt":                {head + length(5) + "Transfer-Encoding: xchunked\r\n\r\n" + end + inner, []int{501, 0}},
		"TE in quotes":               {head + length(5) + "Transfer-Encoding: \"chunked\"\r\n\r\n" + end + inner, []int{501, 0}},
		"TE with a tab":              {head + "Transfer-Encoding:\tchunked\r\n\r\n" + end + inner, []int{401, 0}},
		"TE with a vertical tab":     {head + length(5) + "Transfer-Encoding: \x0bchunked\r\n\r\n" + end + inner, []int{400, 0}},
		"TE with a space":            {head + length(5) + "Transfer-Encoding : chunked\r\n\r\n" + end + inner, []int{400, 0}},
		"TE folded":                  {head + length(5) + "Transfer-Encoding:\r\n chunked\r\n\r\n" + end + inner, []int{401, 0}},
		"TE with an underscore":      {head + length(len(end+inner)) + "Transfer_Encoding: chunked\r\n\r\n" + end + inner, []int{401, 0}},
		"TE of HTTP/1.0":             {strings.Replace(head, "/1.1", "/1.0", 1) + chunked + "\r\n" + end + inner, []int{401, 0}},
		"TE of HTTP/1.0, kept":       {strings.Replace(head, "/1.1", "/1.0", 1) + "Connection: keep-alive\r\n" + chunked + "\r\n" + end + inner, []int{401, 400, 0}},
		"two lengths":                {head + length(0) + length(len(inner)) + "\r\n" + inner, []int{400, 0}},
		"two equal lengths":          {head + length(len(inner)) + length(len(inner)) + "\r\n" + inner, []int{401, 0}},
		"list of lengths":            {head + "Content-Length: 0, 0\r\n\r\n" + inner, []int{400, 0}},
		"length with a sign":         {head + fmt.Sprintf("Content-Length: +%d\r\n\r\n", len(inner)) + inner, []int{400, 0}},
		"length below nothing":       {head + "Content-Length: -1\r\n\r\n" + inner, []int{400, 0}},
		"length in hexadecimal":      {head + fmt.Sprintf("Content-Length: 0x%x\r\n\r\n", len(inner)) + inner, []int{400, 0}},
		"length beyond all":          {head + "Content-Length: 18446744073709551616\r\n\r\n" + inner, []int{400, 0}},
		"length folded":              {head + fmt.Sprintf("Content-Length:\r\n %d\r\n\r\n", len(inner)) + inner, []int{401, 0}},
		"length with an underscore":  {head + "Content_Length: 0\r\n" + length(len(inner)) + "\r\n" + inner, []int{401, 0}},
		"empty length":               {head + "Content-Length: \r\n\r\n" + inner, []int{400, 0}},
		"chunk below nothing":        {head + chunked + "\r\n-1\r\n" + inner, []int{400, 0}},
		"chunk with 0x":              {head + chunked + "\r\n0x0\r\n\r\n" + inner, []int{400, 0}},
		"chunk beyond all":           {head + chunked + "\r\nfffffffffffffffff\r\n" + inner, []int{400, 0}},
		"chunk without a size":       {head + chunked + "\r\n\r\n" + inner, []int{400, 0}},
		"chunk with an extension":    {head + chunked + "\r\n5;a=b;c=\"0\"\r\nhello\r\n" + end + inner, []int{401, 0}},
		"chunk, overlong extension":  {head + chunked + "\r\n5;" + strings.Repeat("a", 8<<10) + "\r\nhello\r\n" + end + inner, []int{400, 0}},
		"chunk ends with LF":         {head + chunked + "\r\n5\nhello\n0\n\n" + inner, []int{400, 0}},
		"chunk ends with CR":         {head + chunked + "\r\n5\rhello\r0\r\r" + inner, []int{400, 0}},
		"chunk without an end":       {head + chunked + "\r\n5\r\nhelloPOST" + inner, []int{400, 0}},
		"chunk and a trailer":        {head + chunked + "Trailer: X-Signature\r\n\r\n0\r\nX-Signature: a\r\n\r\n" + inner, []int{401, 0}},
		"lines end with LF":          {strings.ReplaceAll(head+length(len(inner))+"\r\n", "\r\n", "\n") + inner, []int{401, 0}},
		"CR in a value":              {head + "X-A: b\rContent-Length: 0\r\n\r\n" + inner, []int{400, 0}},
		"NUL in a value":             {head + "X-A: b\x00\r\n\r\n" + inner, []int{400, 0}},
		"fold behind the first line": {"POST /hooks HTTP/1.1\r\n Host: x\r\n\r\n" + inner, []int{400, 0}},
		"space in a name":            {head + "X Y: z\r\n\r\n" + inner, []int{400, 0}},
		"no name":                    {head + ": z\r\n\r\n" + inner, []int{400, 0}},
		"no colon":                   {head + "X-Y\r\n\r\n" + inner, []int{400, 0}},
		"Host twice":                 {head + "Host: y\r\n\r\n" + inner, []int{400, 0}},
		"no Host":                    {"POST /hooks HTTP/1.1\r\n\r\n" + inner, []int{400, 0}},
		"bad Host":                   {"POST /hooks HTTP/1.1\r\nHost: a b\r\n\r\n" + inner, []int{400, 0}},
		"HTTP/0.9":                   {"POST /hooks\r\n" + inner, []int{400, 0}},
		"HTTP/2.0":                   {"POST /hooks HTTP/2.0\r\nHost: x\r\n\r\n" + inner, []int{505, 0}},
		"HTTP/1.1 in small letters":  {"POST /hooks http/1.1\r\nHost: x\r\n\r\n" + inner, []int{400, 0}},
		"two spaces":                 {"POST  /hooks HTTP/1.1\r\nHost: x\r\n\r\n" + inner, []int{400, 0}},
		"space in the target":        {"POST /hooks HTTP/1.1 HTTP/1.1\r\nHost: x\r\n\r\n" + inner, []int{400, 0}},
		"method with a colon":        {"PO:ST /hooks HTTP/1.1\r\nHost: x\r\n\r\n" + inner, []int{400, 0}},
		"GET with a body":            {strings.Replace(head, "POST", "GET", 1) + length(len(inner)) + "\r\n" + inner, []int{405, 0}},
		"CONNECT with a body":        {"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n" + listed + length(len(inner)) + "\r\n" + inner, []int{404, 0}},
		"health check with a body":   {ready + length(len(inner)) + "\r\n" + inner, []int{200, 0}},
		"health check with chunks":   {ready + length(len(end+inner)) + chunked + "\r\n" + end + inner, []int{200, 0}},
		"upgrade to HTTP/2":          {head + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAAA\r\n" + length(len(inner)) + "\r\n" + inner, []int{401, 0}},
		"refused, with a body":       {strings.Replace(head, published, "203.0.113.8", 1) + length(len(inner)) + "\r\n" + inner, []int{403, 0}},
		"refused, continue":          {strings.Replace(head, published, "203.0.113.8", 1) + "Expect: 100-continue\r\n" + length(len(inner)) + "\r\n" + inner, []int{403, 0}},
		"refused, expects more":      {head + "Expect: something\r\n" + length(len(inner)) + "\r\n" + inner, []int{417, 0}},
	} {
		t.Run(name, func(t *testing.T) { r.expect(t, tt.send, tt.want) })
	}
	if len(sink.IDs()) > 0 || r.status().Queue.StoredEvents > 0 {
		t.Error("a request that was smuggled in is stored")
	}
}

// expect sends bytes on a new connection, and then its end.
func (r *receiver) expect(t *testing.T, send string, want []int) {
	t.Helper()
	w := dial(t, r)
	w.send(send)
	_ = w.CloseWrite() // the receiver may have had enough before
	for i, status := range want {
		if got := w.status(); got != status {
			t.Fatalf("answer %d = %d, want %d", i, got, status)
		}
	}
}

// TestForms are odd ways to say what is meant: each is taken for one request, and
// stored once.
func TestForms(t *testing.T) {
	sink := servertest.NewSinkhole(t, nil)
	r := start(t, t.TempDir(), servertest.Config(t, sink.URL, nil), servertest.Secrets(servertest.OldSecret))
	want := map[string]bool{}
	for id, edit := range map[string]func(string) string{
		"absolute":  func(s string) string { return strings.Replace(s, "POST /hooks", "POST http://evil.example/hooks", 1) },
		"linefeeds": func(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") },
		"http10":    func(s string) string { return strings.Replace(s, "HTTP/1.1", "HTTP/1.0", 1) },
		"http12":    func(s string) string { return strings.Replace(s, "HTTP/1.1", "HTTP/1.2", 1) },
		"emptyline": func(s string) string { return "\r\n" + s },
		"zeroes":    func(s string) string { return strings.Replace(s, "Content-Length: ", "Content-Length: 000", 1) },
		"underscore": func(s string) string {
			return strings.Replace(s, "Host: x", "Host: x\r\nX_Forwarded_For: 198.51.100.1", 1)
		},
	} {
		t.Run(id, func(t *testing.T) {
			if id == "emptyline" { // the library takes none, as RFC 9112 lets it
				r.expect(t, edit(raw(t, id)), []int{400, 0})
				return
			}
			want[id] = true
			r.expect(t, edit(raw(t, id)), []int{200, 0})
		})
	}
	servertest.UntilAll(t, want, sink)
	servertest.EqualSets(t, "delivered", want, sink.IDs())
}

// TestSpoofedAddresses sends validly signed requests that claim to come from a listed
// address: over HTTP/1.1 and HTTP/2, from outside, and through a trusted proxy that
// adds the true address at the right. Only what the proxy says is believed.
func TestSpoofedAddresses(t *testing.T) {
	const stranger = "198.51.100.9"
	pair := servertest.NewCertificate(t, time.Now().Add(time.Hour))
	dir := servertest.NewMount(t)
	dir.Set(pair.Files())
	sink := servertest.NewSinkhole(t, nil)
	proxied := startTLS(t, dir.Dir, behind(t, sink, false))
	c := behind(t, sink, false)
	c.Sources.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	outside := startTLS(t, dir.Dir, c)
	many := strings.Repeat(published+", ", 10<<10/len(published))[:10<<10]
	for name, tt := range map[string]struct {
		header http.Header
		want   int // through the proxy
	}{
		"nothing":              {nil, 403},
		"told by the proxy":    {http.Header{"X-Forwarded-For": {published}}, 200},
		"in front":             {http.Header{"X-Forwarded-For": {published + ", " + stranger}}, 403},
		"first header":         {http.Header{"X-Forwarded-For": {published, stranger}}, 403},
		"many of them":         {http.Header{"X-Forwarded-For": {many + ", " + stranger}}, 403},
		"many, then garbage":   {http.Header{"X-Forwarded-For": {many + "x"}}, 403},
		"behind a port":        {http.Header{"X-Forwarded-For": {published + ":80, " + stranger + ":80"}}, 403},
		"in brackets":          {http.Header{"X-Forwarded-For": {"[" + published + "]"}}, 403},
		"mapped":               {http.Header{"X-Forwarded-For": {"::ffff:" + published}}, 200},
		"mapped stranger":      {http.Header{"X-Forwarded-For": {published + ", ::ffff:" + stranger}}, 403},
		"with a zone":          {http.Header{"X-Forwarded-For": {"::ffff:" + published + "%1"}}, 403},
		"empty":                {http.Header{"X-Forwarded-For": {""}}, 403},
		"Forwarded by a proxy": {http.Header{"Forwarded": {"for=" + published + ";proto=https"}}, 200},
		"Forwarded in front":   {http.Header{"Forwarded": {"for=" + published + ", for=" + stranger}}, 403},
		"Forwarded, quotes":    {http.Header{"Forwarded": {`for=` + published + `;x=", for=` + stranger}}, 403},
		"Forwarded beside":     {http.Header{"Forwarded": {"for=" + published}, "X-Forwarded-For": {stranger}}, 403},
		"beside Forwarded":     {http.Header{"Forwarded": {"for=" + stranger}, "X-Forwarded-For": {published}}, 403},
		"other headers": {http.Header{"X-Real-Ip": {published}, "X-Client-Ip": {published}, "True-Client-Ip": {published}, "Cf-Connecting-Ip": {published},
			"X-Forwarded": {"for=" + published}, "X_forwarded_for": {published}, "X-Forwarded-For": {stranger}}, 403},
		"hop by hop": {http.Header{"X-Forwarded-For": {published + ", " + stranger}, "Connection": {"X-Forwarded-For"}}, 403},
	} {
		for i, h2 := range []bool{false, true} {
			t.Run(fmt.Sprint(name, i+1), func(t *testing.T) {
				client := servertest.NewTLSClient(t, h2, pair)
				id := strings.ReplaceAll(fmt.Sprint(name, i), " ", "-")
				post := func(r *receiver) int {
					req := servertest.Request(t, r.url, id, servertest.OldSecret, servertest.BodyOf(id))
					for k, v := range tt.header {
						if k != "Connection" || !h2 { // HTTP/2 has no such header
							req.Header[k] = v
						}
					}
					resp, err := client.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					_ = resp.Body.Close()
					if resp.ProtoMajor == 2 != h2 {
						t.Errorf("spoke %s", resp.Proto)
					}
					return resp.StatusCode
				}
				if got := post(proxied); got != tt.want {
					t.Errorf("through the proxy: %d, want %d", got, tt.want)
				}
				if got := post(outside); got != 403 {
					t.Errorf("from outside: %d", got)
				}
			})
		}
	}
	if n := outside.status().Queue.StoredEvents; n > 0 {
		t.Errorf("%d events from outside are stored", n)
	}
	if n := proxied.status().Queue.StoredEvents; n != 6 {
		t.Errorf("%d events are stored, want the 6 that were answered 200", n)
	}
}

// TestHeaderInsideTLS: a PROXY protocol header stands before TLS, and nowhere else.
func TestHeaderInsideTLS(t *testing.T) {
	pair := servertest.NewCertificate(t, time.Now().Add(time.Hour))
	dir := servertest.NewMount(t)
	dir.Set(pair.Files())
	sink := servertest.NewSinkhole(t, nil)
	r := startWith(t, t.TempDir(), behind(t, sink, true), servertest.Secrets(servertest.OldSecret), func(o *server.ServeOptions) { o.TLSDir = dir.Dir })
	for name, tt := range map[string]struct {
		before, inside string
		want           int
	}{
		"before":            {header(published), "", 200},
		"before, unlisted":  {header("203.0.113.8"), "", 403},
		"inside":            {"", header(published), 400},
		"before and inside": {header("203.0.113.8"), header(published), 400},
		"nowhere":           {"", "", 403},
	} {
		t.Run(name, func(t *testing.T) {
			w := dial(t, r)
			w.send(tt.before)
			inner := w.startTLS(servertest.Client(t, pair))
			inner.send(tt.inside + raw(t, strings.ReplaceAll(name, " ", "-")))
			if got := inner.status(); got != tt.want {
				t.Errorf("status = %d, want %d", got, tt.want)
			}
		})
	}
	servertest.UntilAll(t, map[string]bool{"before": true}, sink)
	if n := r.status().Queue.StoredEvents; n != 1 {
		t.Errorf("%d events are stored", n)
	}
}
