package provider_test

import (
	"testing"

	"github.com/fairlead-dev/fairlead/api/provider"
)

func TestBuiltIn(t *testing.T) {
	list, err := provider.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		t.Log(p.Name, provider.Revision(p))
	}
}
