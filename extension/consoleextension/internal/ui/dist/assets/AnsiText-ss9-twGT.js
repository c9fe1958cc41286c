import{A as e,yt as t}from"./index-DGC7_9NG.js";var n=t(),r=({text:t})=>(0,n.jsx)(n.Fragment,{children:t.split(`
`).flatMap((t,r)=>[r>0?`
`:``,...e(t).map((e,t)=>e.classes?(0,n.jsx)(`span`,{className:e.classes,children:e.text},`${r}.${t}`):e.text)])});export{r as t};