// An Express application that already has users of its own, and now an OpenAI-compatible API for them below /ai.
import express from 'express';
import { readEnvironment } from 'megallm-middleware';
import { megallm } from 'megallm-middleware/express';

const app = express();
app.get('/', (_req, res) => {
  res.send('The application as it was.');
});
app.use('/ai', megallm());
app.use(express.json());

const server = app.listen(readEnvironment().port, (error) => {
  if (error) throw error;
  console.log('Listening at', server.address());
});
