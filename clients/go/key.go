package triggers

import (
	"context"

	"triggers.internal/triggers/rpcpb"
)

// The key that calls carry. Nothing here holds its text but functions, so that nothing prints it.

// Key gives a function for [Options].APIKey that always gives this key; nil, no key, for "".
func Key(text string) func(context.Context) (string, error) {
	if text == "" {
		return nil
	}
	return func(context.Context) (string, error) { return text, nil }
}

// authorize gives a context whose call carries the current key.
func (c *Client) authorize(ctx context.Context) (context.Context, *Error) {
	if c.key == nil {
		return ctx, nil
	}
	key, err := c.key(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil, stopped(ctx)
		}
		failed := failure(rpcpb.Code_UNAUTHENTICATED, "KEY_UNAVAILABLE", "APIKey gave no key: %v", err)
		failed.cause = err
		return nil, failed
	}
	if !isKey(key) {
		return nil, failure(rpcpb.Code_INVALID_ARGUMENT, "API_KEY_INVALID",
			"APIKey gave no text of a key; accepted are visible characters of ASCII")
	}
	return WithMetadata(ctx, "authorization", "Bearer "+key), nil
}

// reauthorize gives a call whose key was refused another one, if there is one now.
func (c *Client) reauthorize(unauthorized context.Context, ctx *context.Context) bool {
	other, failed := c.authorize(unauthorized)
	if failed != nil || c.metadata(other)["authorization"] == c.metadata(*ctx)["authorization"] {
		return false
	}
	*ctx = other
	return true
}

func isKey(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return text != ""
}
