// The scenarios of test/sdks/SCENARIOS.md with github.com/sashabaranov/go-openai.
package main

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/sashabaranov/go-openai"

	"megallm.test/sdks/harness"
)

type sdk struct{ client *openai.Client }

func main() {
	os.Exit(harness.Run(sdk{newClient(os.Getenv("OPENAI_API_KEY"))}))
}

func newClient(key string) *openai.Client {
	config := openai.DefaultConfig(key)
	config.BaseURL = os.Getenv("OPENAI_BASE_URL")
	return openai.NewClientWithConfig(config)
}

// CallsPerRequest: go-openai retries nothing.
func (sdk) CallsPerRequest() int { return 1 }

func (sdk) ErrorOf(err error) (harness.APIError, bool) {
	var apiError *openai.APIError
	if !errors.As(err, &apiError) {
		return harness.APIError{}, false
	}
	read := harness.APIError{Status: apiError.HTTPStatusCode, Message: apiError.Message, Type: apiError.Type}
	if code, ok := apiError.Code.(string); ok {
		read.Code = code
	}
	if apiError.Param != nil {
		read.Param = *apiError.Param
	}
	return read, true
}

func (sdk) CheckStreamError(err error) error {
	var apiError *openai.APIError
	if !errors.As(err, &apiError) || apiError.Message == "" {
		return fmt.Errorf("want an APIError, got %T: %w", err, err)
	}
	return nil
}

type receiver[T any] interface {
	Recv() (T, error)
	Close() error
}

// received goes through a stream of the SDK, which could not be opened where there is an error.
func received[T any](stream receiver[T], err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		if err != nil {
			yield(none, err)
			return
		}
		defer stream.Close()
		for {
			piece, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(none, err)
				return
			}
			if !yield(piece, nil) {
				return
			}
		}
	}
}
