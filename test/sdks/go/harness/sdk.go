package harness

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// ChatModel answers whatever does not name a model.
const ChatModel = "gpt-4o-mini"

// SDK does by the means of one SDK what the scenarios ask for, and hands on what that SDK says of the answers.
type SDK interface {
	// CallsPerRequest is how often the SDK, by its default, tries what fails with 429 or 500.
	CallsPerRequest() int
	// ErrorOf reads the SDK's own class for an error of the API; false for what is none.
	ErrorOf(err error) (APIError, bool)
	// CheckStreamError checks that it is the SDK's own class for an error within a stream, and says what the server said.
	CheckStreamError(err error) error

	Models(ctx context.Context) ([]Model, error)
	Model(ctx context.Context, id string) (Model, error)
	// ListWithKey lists the models with another key.
	ListWithKey(ctx context.Context, key string) error

	Chat(ctx context.Context, model, prompt string) (Completion, error)
	Vision(ctx context.Context, prompt, imageURL string) (Completion, error)
	// Structured derives the schema from what the pointer points to, and reads the answer into it.
	Structured(ctx context.Context, prompt string, into any) (Completion, error)
	Stream(ctx context.Context, request StreamRequest) iter.Seq2[Chunk, error]
	// Converse begins a chat in which the model may call the tools.
	Converse(prompt string, tools []Tool) (Conversation, error)

	// Embed asks for vectors in the SDK's default encoding; with 0 dimensions, for none in particular.
	Embed(ctx context.Context, texts []string, dimensions int) (Embeddings, error)
	// Respond follows no other response when that one's id is empty.
	Respond(ctx context.Context, input, previousID string) (Response, error)
	StreamResponse(ctx context.Context, input string) iter.Seq2[Event, error]

	Upload(ctx context.Context, name, purpose string, content []byte) (File, error)
	FileIDs(ctx context.Context) ([]string, error)
	File(ctx context.Context, id string) (File, error)
	Download(ctx context.Context, id string) ([]byte, error)
	// Delete checks what the SDK says of the deletion, too.
	Delete(ctx context.Context, id string) error
}

// Conversation goes on turn by turn.
type Conversation interface {
	// Next streams the model's next message, by the SDK's own accumulator where it has one, and keeps it.
	Next(ctx context.Context) (Turn, error)
	// Answer adds what a tool returned.
	Answer(callID, result string)
}

type (
	APIError struct {
		Status                     int
		Message, Code, Param, Type string
	}

	Model struct {
		ID, Object string
		Created    int64
	}

	// Usage has the tokens of what was asked and of what was answered.
	Usage struct{ Input, Output, Total int64 }

	// Completion has the number of its choices, and the first of them.
	Completion struct {
		Choices               int
		Role, Content, Finish string
		Usage                 Usage
	}

	StreamRequest struct {
		Model, Prompt string
		IncludeUsage  bool
	}

	Chunk struct {
		Choices         int
		Content, Finish string
		// Usage is nil where the chunk has none.
		Usage *Usage
	}

	// Tool has a value of the type that its schema is derived from.
	Tool struct {
		Name      string
		Arguments any
	}

	Turn struct {
		Content, Finish string
		Calls           []Call
		Usage           Usage
	}

	Call struct{ ID, Type, Name, Arguments string }

	Embeddings struct {
		Vectors                   []Vector
		PromptTokens, TotalTokens int64
	}

	Vector struct {
		Index  int64
		Values []float64
	}

	Response struct {
		ID, Object, Status, PreviousID, Text string
		Usage                                Usage
	}

	// Event has a delta where its type is response.output_text.delta, a response where it is response.completed.
	Event struct {
		Type     string
		Number   int64
		Delta    string
		Response *Response
		Raw      string
	}

	File struct {
		ID, Object, Name, Purpose string
		Bytes, Created            int64
	}
)

func (u Usage) check() error {
	if u.Input <= 0 || u.Output <= 0 || u.Input+u.Output != u.Total {
		return fmt.Errorf("usage does not add up: %+v", u)
	}
	return nil
}

// check wants a whole answer in words.
func (c Completion) check() error {
	if c.Choices != 1 {
		return fmt.Errorf("%d choices", c.Choices)
	}
	if c.Content == "" || c.Role != "assistant" {
		return fmt.Errorf("no answer of the assistant: %+v", c)
	}
	if c.Finish != "stop" {
		return fmt.Errorf("finish_reason %q", c.Finish)
	}
	return c.Usage.check()
}

func (m Model) check() error {
	if m.ID == "" || m.Object != "model" || m.Created <= 0 {
		return fmt.Errorf("a model lacks id, object or created: %+v", m)
	}
	return nil
}

func (r Response) check() error {
	if r.ID == "" || r.Object != "response" || r.Status != "completed" {
		return fmt.Errorf("response %q, object %q, status %q", r.ID, r.Object, r.Status)
	}
	if r.Text == "" {
		return errors.New("no output text")
	}
	return r.Usage.check()
}
