package desired

import (
	"bytes"
	"fmt"
)

// Stream writes objects as a stream of YAML documents, in their order.
func Stream(all []Object) ([]byte, error) {
	var out bytes.Buffer
	for i, o := range all {
		text, err := asYAML(o)
		if err != nil {
			return nil, fmt.Errorf("writing %s: %w", RefOf(o), err)
		}
		if i > 0 {
			out.WriteString("---\n")
		}
		out.Write(text)
	}
	return out.Bytes(), nil
}
