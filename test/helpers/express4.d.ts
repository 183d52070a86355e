// Express 4 is installed under an alias, for which DefinitelyTyped has no folder. What we use of it is typed the same.
declare module 'express4' {
  import express from 'express';
  export = express;
}
