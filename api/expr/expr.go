// Package expr declares and compiles the expressions that manifests hold: CEL
// over one event, with a value that is true or false. It is the one place where
// they are, so the operator, the tool and the receiver agree on what compiles.
package expr

import (
	"errors"
	"fmt"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/ext"
)

// Variables are what an expression sees of an event.
type Variables struct {
	ID, Type, Subject, Hook string
	// Query holds the first value of each of the URL's parameters.
	Query map[string]string
	// Data is the body as encoding/json decodes it into an any; nil if it is no
	// JSON.
	Data any
}

// costLimit bounds what one evaluation may cost, in CEL's units: about one for
// each step and each 10 bytes looked at. It is far above what a filter needs, and
// ends an expression that loops over a large body within milliseconds.
const costLimit = 1_000_000

// ErrNotBool means that an expression's value is not true or false.
var ErrNotBool = errors.New("the expression must be true or false, as in data.channel_type == \"messaging\"")

// Program is a compiled expression. It may be used by many goroutines at once.
type Program struct{ program cel.Program }

// Compile compiles an expression. The error says what is wrong, and where in the
// text.
func Compile(text string) (*Program, error) {
	env, err := cel.NewEnv(
		cel.Variable("id", cel.StringType),
		cel.Variable("type", cel.StringType),
		cel.Variable("subject", cel.StringType),
		cel.Variable("hook", cel.StringType),
		cel.Variable("query", cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable("data", cel.DynType),
		ext.Strings(),
	)
	if err != nil {
		return nil, fmt.Errorf("declaring variables: %w", err)
	}
	ast, issues := env.Compile(text)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, ErrNotBool
	}
	program, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(costLimit))
	if err != nil {
		return nil, err
	}
	return &Program{program: program}, nil
}

// Match evaluates the expression. An error means that it has no value for this
// event: a field is missing, say, or it costs too much.
func (p *Program) Match(v *Variables) (bool, error) {
	out, _, err := p.program.Eval(map[string]any{
		"id": v.ID, "type": v.Type, "subject": v.Subject, "hook": v.Hook, "query": v.Query, "data": v.Data,
	})
	if err != nil {
		return false, err
	}
	b, ok := out.Value().(bool)
	if !ok {
		return false, ErrNotBool
	}
	return b, nil
}
