import { chunksOf, reverting, toDoc } from "./src/review/changes.js";
import { lineDiff } from "./src/review/linediff.js";
import { Chunk } from "@codemirror/merge";
import { EditorState } from "@codemirror/state";
let seed=1; const rnd=n=>{seed=(seed*16807)%2147483647; return seed%n};
const gen=()=>{let n=rnd(9), out=[]; for(let i=0;i<n;i++) out.push(["a","b","","xx = 1","xx = 2","  foo(bar, baz)"][rnd(6)]); return out.join("\n")+(rnd(2)?"\n":"")};
let bad=0;
for(let t=0;t<60000;t++){
  const A=gen(),B=gen();
  // patch property
  let out="",pa=0; const ch=lineDiff(A,B); for(const c of ch){out+=A.slice(pa,c.fromA)+B.slice(c.fromB,c.toB);pa=c.toA} out+=A.slice(pa);
  if(out!==B){bad++; if(bad<5)console.log("PATCH",JSON.stringify([A,B,ch]))}
  const a=toDoc(A); let st=EditorState.create({doc:toDoc(B)});
  // all at once
  const all=st.update({changes:chunksOf(a,st.doc).map(c=>reverting(a,c))}).state.doc.toString();
  if(all!==A){bad++; if(bad<5)console.log("ALL",JSON.stringify([A,B,all, chunksOf(a,toDoc(B))]))}
  // one by one, with updateB
  let chunks=chunksOf(a,st.doc), k=0;
  while(chunks.length && k<50){ const c=chunks[rnd(chunks.length)]; const tr=st.update({changes:reverting(a,c)}); chunks=Chunk.updateB(chunks,a,tr.newDoc,tr.changes,{override:lineDiff}); st=tr.state; k++ }
  if(st.doc.toString()!==A){bad++; if(bad<9)console.log("ONE",JSON.stringify([A,B,st.doc.toString()]))}
}
console.log("bad",bad);
