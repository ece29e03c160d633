package expr

import (
	"errors"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// costs says what calls cost that the library takes for one step, because their
// arguments are of the event and so of no type that is known beforehand, although
// they look at all of them.
type costs struct{}

// perUnit is how many bytes, or members of a list, are looked at for one step.
const perUnit = 10

// CallCost implements interpreter.ActualCostEstimator. nil leaves a call to the
// library.
func (costs) CallCost(function, _ string, args []ref.Val, _ ref.Val) *uint64 {
	looked := 0
	switch function {
	case operators.In, operators.OldIn:
		looked = members(args[len(args)-1])
	case operators.Add, overloads.Size, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		for _, a := range args {
			looked += length(a)
		}
	default:
		return nil
	}
	cost := uint64(1 + looked/perUnit)
	return &cost
}

// members is how many members a list has; a map is not searched.
func members(v ref.Val) int {
	if l, ok := v.(traits.Lister); ok {
		if n, ok := l.Size().(types.Int); ok {
			return int(n)
		}
	}
	return 0
}

// length is how many bytes a text has.
func length(v ref.Val) int {
	switch v := v.(type) {
	case types.String:
		return len(v)
	case types.Bytes:
		return len(v)
	}
	return 0
}

// ErrPattern means that the pattern of a matches is not a text in the expression.
var ErrPattern = errors.New(`the pattern of matches must stand in the expression, as in data.text.matches("^a"): one from an event could cost any amount of time and memory`)

// patterns checks that the regular expressions in an expression do not come from
// events: what one costs is known only when it has been paid.
func patterns(checked *cel.Ast) error {
	found := ast.MatchDescendants(ast.NavigateAST(checked.NativeRep()), func(e ast.NavigableExpr) bool {
		if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != overloads.Matches {
			return false
		}
		args := e.AsCall().Args()
		return args[len(args)-1].Kind() != ast.LiteralKind
	})
	if len(found) > 0 {
		return ErrPattern
	}
	return nil
}
