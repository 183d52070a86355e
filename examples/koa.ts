// A Koa application with the gateway at its root.
import Koa from 'koa';
import { readEnvironment } from 'megallm-middleware';
import { megallm } from 'megallm-middleware/koa';

const app = new Koa();
app.use(megallm());
app.use((ctx) => {
  ctx.body = 'The application as it was.';
});

const server = app.listen(readEnvironment().port, () => {
  console.log('Listening at', server.address());
});
