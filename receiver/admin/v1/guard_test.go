package v1_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	v1 "github.com/fairlead-dev/fairlead/receiver/admin/v1"
)

// What a browser could be made to send is refused, and what a person sends on
// purpose is not.
func TestGuards(t *testing.T) {
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	host := func(h string) func(*http.Request) { return func(r *http.Request) { r.Host = h } }
	peer := func(a string) func(*http.Request) { return func(r *http.Request) { r.RemoteAddr = a } }
	drop, ids := "/v1/deadletters/drop", `{"ids":["app/1"]}`
	r := newRig(t, nil)
	for name, tt := range map[string]struct {
		method, target, contentType, body string
		edit                              func(*http.Request)
		want                              int
	}{
		"plain":                   {want: 200},
		"head":                    {method: "HEAD", want: 200},
		"localhost":               {edit: host("localhost:8081"), want: 200},
		"another loopback":        {edit: host("127.9.9.9"), want: 200},
		"v6":                      {edit: host("[::1]:1234"), want: 200},
		"v6 without a port":       {edit: host("[::1]"), want: 200},
		"origin":                  {edit: header("Origin", "http://127.0.0.1:8081"), want: 403},
		"empty origin":            {edit: header("Origin", ""), want: 403},
		"null origin":             {edit: header("Origin", "null"), want: 403},
		"made by a page":          {edit: header("Sec-Fetch-Site", "cross-site"), want: 403},
		"typed into a browser":    {edit: header("Sec-Fetch-Site", "none"), want: 200},
		"foreign host":            {edit: host("evil.example"), want: 403},
		"rebound host":            {edit: host("127.0.0.1.evil.example:8081"), want: 403},
		"no host":                 {edit: host(""), want: 403},
		"other address":           {edit: host("10.0.0.1:8081"), want: 403},
		"host in disguise":        {edit: host("localhost.evil.example"), want: 403},
		"peer elsewhere":          {edit: peer("10.0.0.1:5"), want: 403},
		"mapped peer":             {edit: peer("[::ffff:127.0.0.1]:5"), want: 200},
		"put":                     {method: "PUT", want: 405},
		"options":                 {method: "OPTIONS", want: 405},
		"delete":                  {method: "DELETE", target: "/v1/deadletters/app/1", want: 405},
		"post to a list":          {method: "POST", target: "/v1/deadletters", contentType: "application/json", want: 405},
		"get of an order":         {target: drop, want: 405},
		"unknown path":            {target: "/v1/nothing", want: 404},
		"order":                   {method: "POST", target: drop, contentType: "application/json", body: ids, want: 200},
		"order with a charset":    {method: "POST", target: drop, contentType: "application/json; charset=utf-8", body: ids, want: 200},
		"order as a form":         {method: "POST", target: drop, contentType: "application/x-www-form-urlencoded", body: ids, want: 415},
		"order as text":           {method: "POST", target: drop, contentType: "text/plain", body: ids, want: 415},
		"order as nothing":        {method: "POST", target: drop, body: ids, want: 415},
		"order of an origin":      {method: "POST", target: drop, contentType: "application/json", body: ids, edit: header("Origin", "x"), want: 403},
		"import as JSON":          {method: "POST", target: "/v1/deadletters/import", contentType: "application/json", body: "{}", want: 415},
		"unknown field":           {method: "POST", target: drop, contentType: "application/json", body: `{"ids":["app/1"],"all":true}`, want: 400},
		"something behind":        {method: "POST", target: drop, contentType: "application/json", body: ids + ids, want: 400},
		"no JSON":                 {method: "POST", target: drop, contentType: "application/json", body: "ids", want: 400},
		"empty body":              {method: "POST", target: drop, contentType: "application/json", want: 400},
		"large body":              {method: "POST", target: drop, contentType: "application/json", body: `{"ids":["` + strings.Repeat("x", v1.MaxBody) + `"]}`, want: 413},
		"unknown parameter":       {target: "/v1/queue?sink=app", want: 400},
		"unknown in an order":     {method: "POST", target: drop + "?force=true", contentType: "application/json", body: ids, want: 400},
		"doubled parameter":       {target: "/v1/deadletters?sink=app&sink=audit", want: 400},
		"long parameter":          {target: "/v1/deadletters?sink=" + strings.Repeat("a", 2000), want: 400},
		"bad limit":               {target: "/v1/deadletters?limit=1001", want: 400},
		"bad age":                 {target: "/v1/deadletters?olderThan=3d", want: 400},
		"bad flag":                {target: "/v1/deadletters?full=yes", want: 400},
		"bad time":                {target: "/v1/events?since=yesterday", want: 400},
		"bad cursor":              {target: "/v1/events?cursor=AAAA", want: 400},
		"cursor of another":       {target: "/v1/events?cursor=ZDphcHAvMQ", want: 400},
		"bad number":              {target: "/v1/events?after=-1", want: 400},
		"no such letter":          {target: "/v1/deadletters/app/9", want: 404},
		"no letter's name":        {target: "/v1/deadletters/app/x", want: 400},
		"no such request":         {target: "/v1/quarantine/9", want: 404},
		"no sequence":             {target: "/v1/quarantine/x", want: 400},
		"the endpoint by name":    {target: "/v1/queue?endpoint=community/chat", want: 200},
		"another endpoint":        {target: "/v1/queue?endpoint=community/other", want: 404},
		"too many ids":            {method: "POST", target: drop, contentType: "application/json", body: `{"ids":["app/1"` + strings.Repeat(`,"app/1"`, 1000) + `]}`, want: 400},
		"no ids":                  {method: "POST", target: drop, contentType: "application/json", body: `{"ids":[]}`, want: 400},
		"bad name of a replay":    {method: "POST", target: "/v1/deadletters/replay", contentType: "application/json", body: `{"ids":["app/1"],"replay":"a b"}`, want: 400},
		"replay without sinks":    {method: "POST", target: "/v1/replays", contentType: "application/json", body: `{"events":[{"sequence":1}]}`, want: 400},
		"replay to a strange one": {method: "POST", target: "/v1/replays", contentType: "application/json", body: `{"events":[{"sequence":1,"sinks":["gone"]}]}`, want: 409},
		"reverify of nothing":     {method: "POST", target: "/v1/quarantine/reverify", contentType: "application/json", body: `{}`, want: 400},
	} {
		t.Run(name, func(t *testing.T) {
			method, target := tt.method, tt.target
			if method == "" {
				method = http.MethodGet
			}
			if target == "" {
				target = "/v1/queue"
			}
			w := r.do(method, target, tt.contentType, tt.body, tt.edit)
			if w.Code != tt.want {
				t.Errorf("status = %d, want %d: %s", w.Code, tt.want, w.Body)
			}
			if tt.want >= 400 {
				if e := read[v1.Error](t, w, tt.want); e.Error == "" || len(e.Error) > 1000 {
					t.Errorf("error = %q", e.Error)
				}
			}
			if tt.want == 405 && method != "PUT" && method != "OPTIONS" && method != "DELETE" && w.Header().Get("Allow") == "" {
				t.Error("405 without Allow")
			}
			for h := range w.Header() {
				if strings.HasPrefix(h, "Access-Control-") {
					t.Errorf("the answer has the header %s", h)
				}
			}
			if cc := w.Header().Get("Cache-Control"); cc != "no-store" {
				t.Errorf("Cache-Control = %q", cc)
			}
		})
	}
}

// With several endpoints each call names one, and an answer lists them.
func TestSeveralEndpoints(t *testing.T) {
	a, b := newRig(t, nil), newRig(t, nil)
	b.append("b1", "x", "{}", "app")
	h := v1.NewHandler(v1.Options{Endpoints: []v1.Endpoint{a.endpoint("chat"), b.endpoint("social")}, Now: time.Now})
	e := read[v1.Error](t, serve(h, "GET", "/v1/queue", "", nil, nil), 400)
	if len(e.Endpoints) != 2 || !strings.Contains(e.Error, "community/social") {
		t.Errorf("error = %+v", e)
	}
	q := read[v1.Queue](t, serve(h, "GET", "/v1/queue?endpoint=community/social", "", nil, nil), 200)
	if q.Name != "social" || q.StoredEvents != 1 {
		t.Errorf("queue = %+v", q)
	}
}

// More calls than are answered at once are sent away, not queued.
func TestBusy(t *testing.T) {
	r := newRig(t, nil)
	ep := r.endpoint("chat")
	entered, leave := make(chan bool), make(chan bool)
	status := ep.Status
	block := true
	ep.Status = func() (s statusPage) {
		if block {
			entered <- true
			<-leave
		}
		return status()
	}
	h := v1.NewHandler(v1.Options{Endpoints: []v1.Endpoint{ep}, Now: time.Now})
	done := make(chan int)
	for range 4 {
		go func() { done <- serve(h, "GET", "/v1/queue", "", nil, nil).Code }()
		<-entered
	}
	w := serve(h, "GET", "/v1/queue", "", nil, nil)
	if w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("status = %d, Retry-After = %q", w.Code, w.Header().Get("Retry-After"))
	}
	block = false
	close(leave)
	for range 4 {
		if code := <-done; code != 200 {
			t.Errorf("status = %d", code)
		}
	}
}
