package v1alpha1

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Schema is the number of the schema that this code writes, and the highest that
// it reads. Receivers of before refuse what they do not know: whoever adds or
// changes a field, or has one take a value that was refused before, makes it one
// higher. Each schema has a ConfigMap of its own in a cluster, so receivers of two
// versions run side by side during an upgrade, each by its own.
const Schema = 1

// ErrNewerSchema means that a configuration is written for a later receiver.
var ErrNewerSchema = errors.New("the configuration is written for a later version")

// SchemaName is how a schema is called in the names of objects.
func SchemaName(schema int) string { return "v" + strconv.Itoa(schema) }

// checkSchema looks at the schema alone, before fields that only a later version
// knows are called unknown. What cannot be read is for the decoder to tell.
func checkSchema(data []byte) error {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Schema     int    `json:"schema"`
	}
	err := json.NewDecoder(bytes.NewReader(data)).Decode(&head)
	if err == nil && head.APIVersion == APIVersion && head.Schema > Schema {
		return fmt.Errorf("%w: it has schema %d, and this program reads schemas up to %d; run receivers of the operator's version", ErrNewerSchema, head.Schema, Schema)
	}
	return nil
}
