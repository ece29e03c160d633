package expr

import (
	"encoding/json"
	"errors"
	"net/url"

	"github.com/google/cel-go/cel"
)

// The names of the variables.
const (
	nameID      = "id"
	nameType    = "type"
	nameSubject = "subject"
	nameHook    = "hook"
	nameQuery   = "query"
	nameData    = "data"
)

// Variables are what expressions see of one event. What takes time to read is
// read when the first expression asks for it, and kept for all others: so only
// one goroutine at a time may use it, and the fields must not be changed once an
// expression was matched. To use it for another event, assign all of it.
type Variables struct {
	ID, Type, Subject, Hook string
	// RawQuery is the URL's query. As query, expressions see the first value of each
	// parameter; what is malformed in it they do not see.
	RawQuery string
	// Body is the event's body. As data, expressions see what encoding/json makes
	// of it; null if it is no JSON. A number beyond those of 64 bits is null too, and
	// takes nothing else with it: else one in some field that an end user may fill
	// would get an event past every filter.
	Body []byte

	query    map[string]string
	data     any
	readData bool
}

// activation is Variables as the library asks for them.
type activation Variables

// ResolveName returns a variable.
func (a *activation) ResolveName(name string) (any, bool) {
	switch name {
	case nameID:
		return a.ID, true
	case nameType:
		return a.Type, true
	case nameSubject:
		return a.Subject, true
	case nameHook:
		return a.Hook, true
	case nameQuery:
		return a.firstValues(), true
	case nameData:
		return a.decoded(), true
	}
	return nil, false
}

// Parent returns none: there are no other variables.
func (a *activation) Parent() cel.Activation { return nil }

func (a *activation) firstValues() map[string]string {
	if a.query == nil {
		a.query = map[string]string{}
		values, _ := url.ParseQuery(a.RawQuery) // an error leaves out what it was found in
		for name, v := range values {
			a.query[name] = v[0]
		}
	}
	return a.query
}

func (a *activation) decoded() any {
	if !a.readData {
		a.readData = true
		var number *json.UnmarshalTypeError // the only kind that any can have
		if err := json.Unmarshal(a.Body, &a.data); err != nil && !errors.As(err, &number) {
			a.data = nil
		}
	}
	return a.data
}
