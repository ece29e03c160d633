package manifest

import (
	"errors"
	"fmt"

	yamlv3 "go.yaml.in/yaml/v3"
)

// maxNodes bounds the scalars, lists and maps of a document when each alias is
// written out, and maxExpanded the bytes in them: a few lines of aliases to
// aliases stand for gigabytes.
const (
	maxNodes    = 100_000
	maxExpanded = maxBytes
)

var (
	errAliasBomb = fmt.Errorf("its aliases stand for more than %d values or %d bytes; write the values out", maxNodes, maxExpanded)
	errAliasLoop = errors.New("an alias in it stands for itself")
)

// checkAliases refuses a document that is much larger than it looks, before
// anything writes its aliases out.
func checkAliases(doc []byte) error {
	var root yamlv3.Node
	if err := yamlv3.Unmarshal(doc, &root); err != nil {
		return syntax(err)
	}
	_, err := expanded(&root, map[*yamlv3.Node]*extent{})
	return err
}

// extent is how large a part of a document is with its aliases written out. It
// is open while the part is still being counted.
type extent struct {
	nodes, bytes int
	open         bool
}

// expanded counts the part of a document below n; each node is visited once.
func expanded(n *yamlv3.Node, known map[*yamlv3.Node]*extent) (*extent, error) {
	if n.Kind == yamlv3.AliasNode {
		n = n.Alias
	}
	if x := known[n]; x != nil {
		if x.open {
			return nil, errAliasLoop
		}
		return x, nil
	}
	x := &extent{nodes: 1, bytes: len(n.Value), open: true}
	known[n] = x
	for _, c := range n.Content {
		part, err := expanded(c, known)
		if err != nil {
			return nil, err
		}
		x.nodes += part.nodes
		x.bytes += part.bytes
		if x.nodes > maxNodes || x.bytes > maxExpanded {
			return nil, errAliasBomb
		}
	}
	x.open = false
	return x, nil
}
