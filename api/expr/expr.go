// Package expr declares and compiles the expressions that manifests hold: CEL
// over one event, with a value that is true or false. It is the one place where
// they are, so the operator, the tool and the receiver agree on what compiles.
//
// What an expression may cost is bounded, whatever stands in it and whatever the
// event holds: its length and depth when it is compiled, its steps when it is
// evaluated.
package expr

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/ext"
)

// Bounds of an expression. The CRD's own bound of its length is 2048.
const (
	maxLength = 4096 // characters
	maxDepth  = 64   // of what stands in parentheses, and the like
	maxLoops  = 3    // of loops in loops: each may run over all that the event holds
)

// costLimit bounds what one evaluation may cost, in CEL's units: about one for
// each step and each 10 bytes looked at. It is far above what a filter needs: a
// loop over some thousand members, or a look at 200 KB of text. The library's own
// count takes time that grows with its square, so ten times as much would be a
// hundred times as long; this ends within some 10 ms.
const costLimit = 20_000

// growing lists the functions whose result may be longer than all that they are
// given together. CEL counts their cost only when the result is there, which may
// be too late for a machine's memory; and to tell true from false needs none.
var growing = []string{"replace", "join", "format"}

// ErrNotBool means that an expression's value is not true or false.
var ErrNotBool = errors.New("the expression must be true or false, as in data.channel_type == \"messaging\"")

// Program is a compiled expression. It may be used by many goroutines at once.
type Program struct{ program cel.Program }

var environment = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable(nameID, cel.StringType),
		cel.Variable(nameType, cel.StringType),
		cel.Variable(nameSubject, cel.StringType),
		cel.Variable(nameHook, cel.StringType),
		cel.Variable(nameQuery, cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable(nameData, cel.DynType),
		ext.Strings(),
		cel.ParserExpressionSizeLimit(maxLength),
		cel.ParserRecursionLimit(maxDepth),
		cel.ASTValidators(cel.ValidateRegexLiterals(), cel.ValidateComprehensionNestingLimit(maxLoops)),
	)
})

// Compile compiles an expression. The error says what is wrong, and where in the
// text.
func Compile(text string) (*Program, error) {
	env, err := environment()
	if err != nil {
		return nil, fmt.Errorf("declaring variables: %w", err)
	}
	checked, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, wrong(issues)
	}
	if t := checked.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, ErrNotBool
	}
	if name := calls(checked, growing); name != "" {
		return nil, fmt.Errorf("function %s is not available: an event could make its result larger than memory is", name)
	}
	if err := patterns(checked); err != nil {
		return nil, err
	}
	program, err := env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostTracking(costs{}), cel.CostLimit(costLimit))
	if err != nil {
		return nil, err
	}
	return &Program{program: program}, nil
}

// wrong puts what is wrong with a text on one line, because it goes into
// conditions, and into lists with a line for each problem.
func wrong(issues *cel.Issues) error {
	var all []string
	for _, e := range issues.Errors() {
		all = append(all, fmt.Sprintf("line %d, character %d: %s", e.Location.Line(), e.Location.Column()+1, e.Message))
	}
	return errors.New(strings.Join(all, "; "))
}

// calls returns the first of some functions that an expression calls, or "".
func calls(checked *cel.Ast, names []string) string {
	found := ast.MatchDescendants(ast.NavigateAST(checked.NativeRep()), func(e ast.NavigableExpr) bool {
		return e.Kind() == ast.CallKind && slices.Contains(names, e.AsCall().FunctionName())
	})
	if len(found) == 0 {
		return ""
	}
	return found[0].AsCall().FunctionName()
}

// Match evaluates the expression. An error means that it has no value for this
// event: a field is missing, say, or it costs too much. It may hold parts of the
// event.
func (p *Program) Match(v *Variables) (bool, error) {
	out, _, err := p.program.Eval((*activation)(v))
	if err != nil {
		return false, err
	}
	b, ok := out.Value().(bool)
	if !ok {
		return false, ErrNotBool
	}
	return b, nil
}
